/** Many flow-controlled streams over one channel: frames, credit, fair turns, heartbeats. Layer 2: pure. */
export type { RoundTrips } from "./flight.ts";
export { decodeFrame, type Frame, type FrameReading, streamNameBytes } from "./frame.ts";
export { goawayPlaintext } from "./frame-writer.ts";
export { Mux, type MuxEvents, type MuxOptions } from "./mux.ts";
export type { StreamSink } from "./receive-half.ts";
export type { MuxStream } from "./stream.ts";
