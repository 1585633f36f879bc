/**
 * Where a stream stands: both ways open; our `fin` is said; theirs came; over (both, or a reset). What a frame or a
 * call means in each state is this table and nothing else; an event that a state does not list is not possible
 * there (from a peer: a fault).
 */
export type StreamState = "open" | "sent-fin" | "got-fin" | "over";
export type StreamEvent = "say-fin" | "hear-fin" | "hear-data" | "reset" | "say-fin-again";

export const streamTransitions: Readonly<Record<StreamState, Readonly<Partial<Record<StreamEvent, StreamState>>>>> = {
  open: { "say-fin": "sent-fin", "hear-fin": "got-fin", "hear-data": "open", reset: "over" },
  "sent-fin": { "hear-fin": "over", "hear-data": "sent-fin", reset: "over", "say-fin-again": "open" },
  "got-fin": { "say-fin": "over", reset: "over" },
  // A stream that goes on on a new channel, whose last bytes were lost with the one before.
  over: { "say-fin-again": "got-fin" },
};
