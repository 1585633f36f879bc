/** Monitoring: sessions, presence, history of every agent; what replicas tell in their digests. */
export { watchBrokerUsage } from "./broker-usage.ts";
export { countAgents } from "./repo.ts";
export { monitoringNexusRoutes, monitoringRoutes } from "./routes.ts";
export { endSilentReplicas, warnOfFailures } from "./service.ts";
export { warningRoutes } from "./warning-routes.ts";
