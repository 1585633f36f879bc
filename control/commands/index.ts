/** Orders to nodes: signed, sealed, run once, answered (PROTOCOL §8). */
export { commandRoutes } from "./routes.ts";
export { makeGiveCommand } from "./service.ts";
export { takeAnswer } from "./take-answer.ts";
