/** Lanes by number, with how far each has come in both directions. Under `messages`, `desired` and `commands`. */
export { type Lane, type Lanes, makeLanes } from "./lanes.ts";
export { upWatermarksOf } from "./up-watermarks.ts";
