import { type Bytes, readUint32, readUint64 } from "#lib/bytes";
import { Fault } from "#lib/fault";

/**
 * Frames inside records (PROTOCOL §7). All numbers are big-endian; a frame lies whole in one record, several may
 * follow one another. First byte = type:
 *
 * | type | name   | body |
 * |------|--------|------|
 * | 0x01 | open   | stream 4 ‖ name 16 ‖ allowed 8 |
 * | 0x02 | data   | stream 4 ‖ length 2 ‖ that many bytes (at least 1) |
 * | 0x03 | credit | stream 4 ‖ received 8 ‖ allowed 8 |
 * | 0x04 | fin    | stream 4 ‖ bytes of the whole stream 8 |
 * | 0x05 | reset  | stream 4 ‖ code (1-byte length, then 1 … 64 of `a-z_`) |
 * | 0x06 | resume | stream 4 ‖ name 16 ‖ next offset needed 8 |
 * | 0x07 | ping   | number 4 |
 * | 0x08 | pong   | number 4 ‖ bytes received 8 |
 * | 0x09 | goaway | 0 = no new streams, 1 = the channel ends now ‖ code |
 *
 * A stream number is drawn by the side that opens: odd by the initiator of the channel, even (from 2) by the
 * responder, ascending by 2, never used twice in a channel. Offsets count the bytes of one direction of a stream
 * from its start, so they stay true over a resume.
 */
export type Frame =
  | { readonly type: "open"; readonly stream: number; readonly name: Bytes; readonly allowed: number }
  | { readonly type: "data"; readonly stream: number; readonly data: Bytes }
  | { readonly type: "credit"; readonly stream: number; readonly received: number; readonly allowed: number }
  | { readonly type: "fin"; readonly stream: number; readonly length: number }
  | { readonly type: "reset"; readonly stream: number; readonly code: string }
  | { readonly type: "resume"; readonly stream: number; readonly name: Bytes; readonly next: number }
  | { readonly type: "ping"; readonly number: number }
  | { readonly type: "pong"; readonly number: number; readonly received: number }
  | { readonly type: "goaway"; readonly final: boolean; readonly code: string };

export const frameType = {
  open: 0x01,
  data: 0x02,
  credit: 0x03,
  fin: 0x04,
  reset: 0x05,
  resume: 0x06,
  ping: 0x07,
  pong: 0x08,
  goaway: 0x09,
} as const;

export const streamNameBytes = 16;
/** type ‖ stream ‖ length in front of data. */
export const dataHeaderBytes = 7;
export const codeLengthMax = 64;

/** What the bytes at an offset are: not all there yet, a frame that ends before `end`, or nothing that can become one. */
export type FrameReading =
  | { readonly status: "need" }
  | { readonly status: "value"; readonly frame: Frame; readonly end: number }
  | { readonly status: "fault"; readonly fault: Fault };

const need = { status: "need" } as const;
const bodyBytes: Readonly<Record<number, number>> = {
  [frameType.open]: 28,
  [frameType.data]: 6,
  [frameType.credit]: 20,
  [frameType.fin]: 12,
  [frameType.reset]: 5,
  [frameType.resume]: 28,
  [frameType.ping]: 4,
  [frameType.pong]: 12,
  [frameType.goaway]: 2,
};

/**
 * The frame at `offset`. `data` and `name` are views of `bytes`, not copies. Input that can't become a frame is a
 * fault at its first byte that shows it: the decoder never waits for more of it.
 */
export function decodeFrame(bytes: Bytes, offset: number): FrameReading {
  const type = bytes[offset];
  if (type === undefined) return need;
  const fixed = bodyBytes[type];
  if (fixed === undefined) return fault(`unknown frame ${type}`);
  const body = offset + 1;
  const wrong = earlyFault(bytes, type, body);
  if (wrong !== undefined) return wrong;
  return bytes.length < body + fixed ? need : decodeBody(bytes, type, body, body + fixed);
}

function decodeBody(bytes: Bytes, type: number, body: number, end: number): FrameReading {
  const first = type === frameType.goaway ? 0 : readUint32(bytes, body);
  switch (type) {
    case frameType.open: {
      const name = bytes.subarray(body + 4, body + 20);
      return value({ type: "open", stream: first, name, allowed: readUint64(bytes, body + 20) }, end);
    }
    case frameType.data: {
      const length = ((bytes[body + 4] ?? 0) << 8) | (bytes[body + 5] ?? 0);
      if (bytes.length < end + length) return need;
      return value({ type: "data", stream: first, data: bytes.subarray(end, end + length) }, end + length);
    }
    case frameType.credit: {
      const received = readUint64(bytes, body + 4);
      return value({ type: "credit", stream: first, received, allowed: readUint64(bytes, body + 12) }, end);
    }
    case frameType.fin:
      return value({ type: "fin", stream: first, length: readUint64(bytes, body + 4) }, end);
    case frameType.resume: {
      const name = bytes.subarray(body + 4, body + 20);
      return value({ type: "resume", stream: first, name, next: readUint64(bytes, body + 20) }, end);
    }
    case frameType.ping:
      return value({ type: "ping", number: first }, end);
    case frameType.pong:
      return value({ type: "pong", number: first, received: readUint64(bytes, body + 4) }, end);
    case frameType.reset:
      return withCode(bytes, body + 4, (code) => ({ type: "reset", stream: first, code }));
    default: {
      const final = bytes[body] === 1;
      return withCode(bytes, body + 1, (code) => ({ type: "goaway", final, code }));
    }
  }
}

/** Where in a body the 8-byte numbers stand. */
const offsetsOfLongs: Readonly<Record<number, readonly number[]>> = {
  [frameType.open]: [20],
  [frameType.credit]: [4, 12],
  [frameType.fin]: [4],
  [frameType.resume]: [20],
  [frameType.pong]: [4],
};

/** What is wrong already in the part that is there: stream 0, no data, too large a number, an empty or long code. */
function earlyFault(bytes: Bytes, type: number, body: number): FrameReading | undefined {
  const there = bytes.length - body;
  if (type === frameType.goaway) {
    const final = bytes[body];
    if (final !== undefined && final > 1) return fault("goaway is 0 or 1");
    return codeLengthFault(bytes[body + 1]);
  }
  for (const offset of offsetsOfLongs[type] ?? []) {
    const top = bytes[body + offset] ?? 0;
    if (top > 0 || (bytes[body + offset + 1] ?? 0) > 0x1f) return fault("a number exceeds 2^53-1");
  }
  if (type === frameType.ping || type === frameType.pong) return undefined;
  if (there >= 4 && readUint32(bytes, body) === 0) return fault("stream numbers begin at 1");
  if (type === frameType.data && there >= 6 && bytes[body + 4] === 0 && bytes[body + 5] === 0)
    return fault("data without data");
  return type === frameType.reset ? codeLengthFault(bytes[body + 4]) : undefined;
}

function codeLengthFault(length: number | undefined): FrameReading | undefined {
  return length === 0 || (length !== undefined && length > codeLengthMax)
    ? fault("a code has 1 to 64 letters")
    : undefined;
}

function withCode(bytes: Bytes, at: number, make: (code: string) => Frame): FrameReading {
  const length = bytes[at] ?? 0;
  let code = "";
  for (let index = at + 1; index <= at + length; index++) {
    const byte = bytes[index];
    if (byte === undefined) return need;
    if (byte !== 0x5f && (byte < 0x61 || byte > 0x7a)) return fault("a code has letters a-z and _");
    code += String.fromCharCode(byte);
  }
  return value(make(code), at + 1 + length);
}

function value(frame: Frame, end: number): FrameReading {
  return { status: "value", frame, end };
}

function fault(message: string): FrameReading {
  return { status: "fault", fault: new Fault("frame_invalid", message) };
}
