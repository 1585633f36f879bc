/** Orders to nodes: signed, sealed, run once, answered (PROTOCOL §8). */
export { commandRoutes } from "./routes.ts";
export { type CommandDeps, type GiveCommand, makeGiveCommand } from "./service.ts";
export { takeAnswer } from "./take-answer.ts";
