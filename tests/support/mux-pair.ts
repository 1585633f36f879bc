import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { Mux, type MuxOptions, type MuxStream } from "#lib/mux";
import { random } from "./channel-world.ts";
import type { DrivenClock } from "./driven-clock.ts";

/** One end of a mux pair, with what it told. */
export interface MuxEnd {
  readonly mux: Mux;
  readonly opened: MuxStream[];
  readonly goaways: { readonly code: string; readonly final: boolean }[];
  readonly failures: Fault[];
}

export interface MuxPair {
  readonly a: MuxEnd;
  readonly b: MuxEnd;
  /** Every record that went over, in order. */
  readonly records: { readonly from: "a" | "b"; readonly plaintext: Bytes }[];
  /** Carries one record of one side over, if it has one to send. */
  step(from: "a" | "b"): boolean;
  /** Carries records in both directions until neither side has one. */
  run(): void;
}

type Wishes = Partial<Pick<MuxOptions, "creditBytes" | "streamsMax">>;

/** Two muxes joined without a channel: records go over when the test says so. */
export function muxPair(clock: DrivenClock, wishes: Wishes = {}): MuxPair {
  const a = muxEnd(clock, true, wishes);
  const b = muxEnd(clock, false, wishes);
  const records: MuxPair["records"] = [];
  const step = (from: "a" | "b") => {
    const plaintext = (from === "a" ? a : b).mux.nextRecord()?.slice();
    if (plaintext === undefined) return false;
    records.push({ from, plaintext });
    (from === "a" ? b : a).mux.receive(plaintext);
    return true;
  };
  const run = () => {
    for (let quiet = 0; quiet < 2; ) quiet = step("a") || step("b") ? 0 : quiet + 1;
  };
  return { a, b, records, step, run };
}

function muxEnd(clock: DrivenClock, initiator: boolean, wishes: Wishes): MuxEnd {
  const opened: MuxStream[] = [];
  const goaways: { code: string; final: boolean }[] = [];
  const failures: Fault[] = [];
  const events = {
    wake: () => undefined,
    stream: (stream: MuxStream) => void opened.push(stream),
    goaway: (code: string, final: boolean) => void goaways.push({ code, final }),
    failed: (fault: Fault) => void failures.push(fault),
  };
  return { mux: new Mux({ initiator, clock, random, events, ...wishes }), opened, goaways, failures };
}

/** `length` bytes that tell where they stand. */
export function pattern(length: number, from = 0): Bytes {
  return Uint8Array.from({ length }, (_, index) => (from + index) % 251);
}

/** Reads until the end and puts it together. */
export async function readAll(stream: MuxStream): Promise<Bytes> {
  const pieces: Bytes[] = [];
  for (let piece = await stream.read(); piece !== null; piece = await stream.read()) pieces.push(piece.slice());
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The first stream that an end was offered. */
export function firstOf(end: MuxEnd): MuxStream {
  const [stream] = end.opened;
  if (stream === undefined) throw new RangeError("no stream was opened");
  return stream;
}
