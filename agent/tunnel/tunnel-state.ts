/**
 * `connecting`: an opening is under way. `online`: a session is open and lanes flow. `moving`: it still is, and another is
 * being opened in its place (goaway, age). `waiting`: until the next try. `stopped`: for good.
 */
export type TunnelState = "connecting" | "online" | "moving" | "waiting" | "stopped";

/**
 * `opened`: the opening under way succeeded; `failed`: it did not; `lost`: the open session ended; `leave`: it should be
 * replaced; `due`: the wait is over, or someone can't wait; `stop`.
 */
export type TunnelEvent = "opened" | "failed" | "lost" | "leave" | "due" | "stop";

/** The whole life of a tunnel. What is not here can't happen, and changes nothing. */
export const tunnelTransitions: Readonly<Record<TunnelState, Partial<Record<TunnelEvent, TunnelState>>>> = {
  connecting: { opened: "online", failed: "waiting", stop: "stopped" },
  waiting: { due: "connecting", stop: "stopped" },
  online: { lost: "waiting", leave: "moving", stop: "stopped" },
  // An opening that failed while the session still lives is tried again; the session's end makes it urgent.
  moving: { opened: "online", failed: "online", lost: "connecting", stop: "stopped" },
  stopped: {},
};
