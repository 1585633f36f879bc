/** Gateways: keys, origins, the replicas that run under them. */
export { authenticateGateway, type NexusEnv, newNexusRouter } from "./authenticate.ts";
export { type DemandReplica, makeDemandReplica } from "./demand-replica.ts";
export { type GatewayRow, touchReplica } from "./repo.ts";
export { gatewayNexusRoutes, gatewayRoutes } from "./routes.ts";
export { audiencesOf, demandServes } from "./rules.ts";
export { gatewayForAgent, putOwnGateway } from "./service.ts";
