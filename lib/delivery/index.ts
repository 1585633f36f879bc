/** Rules of the lanes (DESIGN §4) that both ends and the broker share. Layer 2: pure. */
export { type BackOffRange, backOffMs } from "./back-off.ts";
export { cutBatch, type Piece } from "./cut-batch.ts";
export { type Judgement, judge } from "./outcome.ts";
export { placesPerEntry, positionOf } from "./position.ts";
export { type ResumePoint, resumePoint, type StoredThrough, streamLife } from "./resume-point.ts";
export { type Numbers, type Taking, takeNumbers, type Watermark } from "./take-numbers.ts";
