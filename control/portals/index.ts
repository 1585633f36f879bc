/** Portals: an inlet at one node joined to a service that others reach; part of the desired state of all of them. */
export { portalNexusRoutes, portalRoutes } from "./routes.ts";
export { desiredPortalsOf, portalFacts } from "./service.ts";
export { makePortalStates } from "./states.ts";
