/** Openings of tunnels: authorization, slots, continuity, readiness; credentials of open sessions. */
export type { OpeningDeps } from "./authorize.ts";
export { countRefusal } from "./refusals.ts";
export { openingNexusRoutes, openingRoutes } from "./routes.ts";
export type { SessionDeps } from "./session.ts";
