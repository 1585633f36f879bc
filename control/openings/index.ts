/** Openings of tunnels: authorization, slots, continuity, readiness; credentials of open sessions. */
export { countRefusal } from "./refusals.ts";
export { openingNexusRoutes, openingRoutes } from "./routes.ts";
export { demandSession, type SessionDeps } from "./session.ts";
