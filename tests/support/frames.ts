import { type Bytes, concat, uint32, uint64, utf8 } from "#lib/bytes";
import { decodeFrame, type Frame } from "#lib/mux";

const type = (value: number) => new Uint8Array([value]);
const code = (text: string) => concat(new Uint8Array([text.length]), utf8(text));

/** Frames written down byte by byte from PROTOCOL §7, independently of the code that writes them in earnest. */
export const frames = {
  open: (stream: number, name: Bytes, allowed = 4_096) => concat(type(1), uint32(stream), name, uint64(allowed)),
  data: (stream: number, data: Bytes) =>
    concat(type(2), uint32(stream), new Uint8Array([data.length >> 8, data.length & 0xff]), data),
  credit: (stream: number, received: number, allowed: number) =>
    concat(type(3), uint32(stream), uint64(received), uint64(allowed)),
  fin: (stream: number, length: number) => concat(type(4), uint32(stream), uint64(length)),
  reset: (stream: number, why: string) => concat(type(5), uint32(stream), code(why)),
  resume: (stream: number, name: Bytes, next: number) => concat(type(6), uint32(stream), name, uint64(next)),
  ping: (number: number) => concat(type(7), uint32(number)),
  pong: (number: number, received: number) => concat(type(8), uint32(number), uint64(received)),
  goaway: (final: boolean, why: string) => concat(type(9), type(final ? 1 : 0), code(why)),
};

/** All frames of a record; throws when it does not consist of whole ones. */
export function framesOf(plaintext: Bytes): Frame[] {
  const found: Frame[] = [];
  for (let at = 0; at < plaintext.length; ) {
    const reading = decodeFrame(plaintext, at);
    if (reading.status !== "value") throw new RangeError(`no frame at ${at}: ${reading.status}`);
    found.push(reading.frame);
    at = reading.end;
  }
  return found;
}
