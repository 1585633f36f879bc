import type { Bytes } from "#lib/bytes";
import { dataHeaderBytes, frameType } from "./frame.ts";

/** Bytes of each frame beside its code or data. */
export const frameBytes = {
  open: 29,
  credit: 21,
  fin: 13,
  ping: 5,
  pong: 13,
  reset: 6,
  goaway: 3,
  resume: 29,
} as const;

/** Writes frames one behind the other into an array of known size (layouts: `frame.ts`). */
export class FrameWriter {
  readonly #bytes: Bytes;
  readonly #view: DataView;
  #at = 0;

  /** Into all of `bytes`; writing past them is a RangeError. */
  constructor(bytes: Bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get roomBytes(): number {
    return this.#bytes.length - this.#at;
  }

  /** What was written, without a copy. */
  written(): Bytes {
    return this.#bytes.subarray(0, this.#at);
  }

  open(stream: number, name: Bytes, allowed: number): void {
    this.#start(frameType.open, stream);
    this.#put(name);
    this.#long(allowed);
  }

  /** Room for `length` bytes (1 … 65,512) of data behind their header. */
  data(stream: number, length: number): Bytes {
    if (length > this.roomBytes - dataHeaderBytes) throw new RangeError("data exceeds the record");
    this.#start(frameType.data, stream);
    this.#view.setUint16(this.#at, length);
    const start = this.#at + 2;
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  credit(stream: number, received: number, allowed: number): void {
    this.#start(frameType.credit, stream);
    this.#long(received);
    this.#long(allowed);
  }

  fin(stream: number, length: number): void {
    this.#start(frameType.fin, stream);
    this.#long(length);
  }

  reset(stream: number, code: string): void {
    this.#start(frameType.reset, stream);
    this.#code(code);
  }

  resume(stream: number, name: Bytes, next: number): void {
    this.#start(frameType.resume, stream);
    this.#put(name);
    this.#long(next);
  }

  ping(number: number): void {
    this.#start(frameType.ping, number);
  }

  pong(number: number, received: number): void {
    this.#start(frameType.pong, number);
    this.#long(received);
  }

  goaway(final: boolean, code: string): void {
    this.#view.setUint8(this.#at, frameType.goaway);
    this.#view.setUint8(this.#at + 1, final ? 1 : 0);
    this.#at += 2;
    this.#code(code);
  }

  #start(type: number, number: number): void {
    this.#view.setUint8(this.#at, type);
    this.#view.setUint32(this.#at + 1, number);
    this.#at += 5;
  }

  #long(value: number): void {
    this.#view.setUint32(this.#at, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(this.#at + 4, value >>> 0);
    this.#at += 8;
  }

  #put(bytes: Bytes): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #code(code: string): void {
    this.#view.setUint8(this.#at++, code.length);
    for (let index = 0; index < code.length; index++) this.#view.setUint8(this.#at++, code.charCodeAt(index));
  }
}

/** The plaintext of a record that only says `goaway`, final: the last one of a channel. */
export function goawayPlaintext(code: string): Bytes {
  const writer = new FrameWriter(new Uint8Array(frameBytes.goaway + code.length));
  writer.goaway(true, code);
  return writer.written();
}
