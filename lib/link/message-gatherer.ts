import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { sessionMessageBytesMax } from "#lib/limits";

const prefixBytes = 4;
const nothing: Bytes = new Uint8Array(0);

/**
 * Cuts a byte stream into messages of a 4-byte big-endian length (1 … `sessionMessageBytesMax`) and that many bytes.
 * Holds at most twice what has come of one message, however small its pieces; a length is judged as soon as it is there.
 */
export class MessageGatherer {
  /** What is left of the piece that came last. */
  #rest = nothing;
  /** Of the length: what has come of its bytes, and how many those are. */
  #length = 0;
  #prefixFilled = 0;
  /** What has come of a message that is not in one piece; grows as it comes, never by what is only announced. */
  #partial = nothing;
  #filled = 0;

  /** Adds bytes; `next` must have returned undefined before. */
  add(piece: Bytes): void {
    if (this.#rest.length > 0) throw new TypeError("a piece was added before the last one was used up");
    this.#rest = piece;
  }

  /** The next whole message (a view where it lies in one piece), or undefined. Faults `too_large`, `malformed`. */
  next(): Bytes | undefined {
    if (this.#prefixFilled < prefixBytes) {
      const part = this.#take(prefixBytes - this.#prefixFilled);
      for (const byte of part) this.#length = this.#length * 256 + byte;
      this.#prefixFilled += part.length;
      if (this.#prefixFilled < prefixBytes) return undefined;
    }
    const length = this.#length;
    if (length === 0) throw new Fault("malformed", "an empty message");
    if (length > sessionMessageBytesMax) throw new Fault("too_large", "a message longer than a stream carries");
    const whole = this.#filled === 0 && this.#rest.length >= length ? this.#take(length) : this.#gather(length);
    if (whole === undefined) return undefined;
    this.#prefixFilled = 0;
    this.#length = 0;
    return whole;
  }

  /** Fault `malformed` when the stream ended inside a message. */
  demandEmpty(): void {
    if (this.#prefixFilled > 0) throw new Fault("malformed", "the stream ended inside a message");
  }

  #gather(length: number): Bytes | undefined {
    const part = this.#take(length - this.#filled);
    const filled = this.#filled + part.length;
    if (filled > this.#partial.length) {
      const larger = new Uint8Array(Math.min(length, Math.max(filled, this.#partial.length * 2)));
      larger.set(this.#partial.subarray(0, this.#filled));
      this.#partial = larger;
    }
    this.#partial.set(part, this.#filled);
    this.#filled = filled;
    if (filled < length) return undefined;
    const whole = this.#partial.subarray(0, length);
    this.#partial = nothing;
    this.#filled = 0;
    return whole;
  }

  #take(lengthMax: number): Bytes {
    const part = this.#rest.subarray(0, lengthMax);
    // Not an empty view of what was used up: it would keep a whole record alive.
    this.#rest = part.length === this.#rest.length ? nothing : this.#rest.subarray(part.length);
    return part;
  }
}
