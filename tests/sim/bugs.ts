import { decodeFrame } from "#lib/mux";
import type { Tap } from "./sim-suite.ts";

/** Bugs that a run can have on purpose, to show that it would find them. */
export const bugs = ["resume-offset", "credit-too-far", "stale-watermark", "cursor-kept"] as const;
export type Bug = (typeof bugs)[number];

/** Puts a bug of the mux into what one node says, before it is sealed: its peer has no way to know. */
export function bugTap(bug: Bug | undefined): Tap | undefined {
  if (bug !== "resume-offset" && bug !== "credit-too-far") return undefined;
  return (additionalData, plaintext) => {
    if (additionalData.length !== 1) return plaintext; // of a handshake
    const view = new DataView(plaintext.buffer, plaintext.byteOffset);
    for (let at = 0; at < plaintext.length; ) {
      const reading = decodeFrame(plaintext, at);
      if (reading.status !== "value") return plaintext;
      const { frame, end } = reading;
      if (bug === "resume-offset" && frame.type === "resume" && frame.next > 3)
        view.setBigUint64(end - 8, BigInt(frame.next - 3));
      if (bug === "credit-too-far" && frame.type === "credit")
        view.setBigUint64(end - 8, BigInt(frame.allowed + 300_000));
      at = end;
    }
    return plaintext;
  };
}
