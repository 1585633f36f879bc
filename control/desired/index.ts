/** What nodes should run, and what they say of it: plugin configurations, desired states (PROTOCOL §9). */
export { makeDesiredStates } from "./desired-states.ts";
export { desiredNumberOf } from "./repo.ts";
export { keepPublishing, resealAll } from "./republish.ts";
export { desiredRoutes } from "./routes.ts";
export { takeReport } from "./take-report.ts";
