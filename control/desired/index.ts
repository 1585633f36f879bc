/** What nodes should run, and what they say of it: plugin configurations, desired states (PROTOCOL §9). */
export { type DesiredStateDeps, type DesiredStates, makeDesiredStates } from "./desired-states.ts";
export { desiredNumberOf } from "./repo.ts";
export { keepPublishing } from "./republish.ts";
export { desiredRoutes } from "./routes.ts";
export { type DesiredDeps, deletePlugin, findPlugin, putWanted, rollBack } from "./service.ts";
export { takeReport } from "./take-report.ts";
