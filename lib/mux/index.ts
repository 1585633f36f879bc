/** Many flow-controlled streams over one channel: frames, credit, fair turns, heartbeats. Layer 2: pure. */
export type { RoundTrips } from "./flight.ts";
export { decodeFrame, type Frame, type FrameReading, streamNameBytes } from "./frame.ts";
export { goawayPlaintext } from "./frame-writer.ts";
export { Mux, type MuxEvents, type MuxOptions, type MuxResume } from "./mux.ts";
export { ParkedStreams } from "./parked-streams.ts";
export type { StreamSink } from "./receive-half.ts";
export type { MuxStream } from "./stream.ts";
