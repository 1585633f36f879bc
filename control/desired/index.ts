/** What nodes should run, and what they say of it: plugin configurations, desired states (PROTOCOL §9). */
export { type DesiredStates, makeDesiredStates } from "./desired-states.ts";
export { pluginRoutes } from "./plugin-routes.ts";
export { desiredNumberOf, reportOf } from "./repo.ts";
export { keepPublishing, resealAll } from "./republish.ts";
export { agentsThatName, pluginSeal } from "./sealing.ts";
export { stateRoutes } from "./state-routes.ts";
export { takeReport } from "./take-report.ts";
