import type { CborValue } from "./cbor.ts";
import type { Bytes } from "./octets.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Arrays and maps inside one another; what we send has five. */
const depthMax = 32;
/** Texts up to this length are put together here: a decoder's call costs more. */
const shortTextBytes = 24;

/** Major types (RFC 8949 §3.1). */
const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, simple: 7 } as const;

/**
 * Reads deterministic CBOR, and nothing else: one pass, in which each head must have its shortest form and each key of a map stand behind
 * the one before. TypeError for all else. cborg reads more than that, and checking what it read by writing it again took three
 * times as long for an entry of some hundred messages (measured); tests hold the two together.
 */
export class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The one value that the bytes are. */
  whole(): CborValue {
    const value = this.#value();
    if (this.#at !== this.#bytes.length) throw malformed("bytes behind the value");
    return value;
  }

  #value(): CborValue {
    const initial = this.#byte();
    switch (initial >> 5) {
      case major.unsigned:
        return this.#argument(initial);
      case major.negative:
        return this.#negative(initial);
      case major.bytes:
        return this.#octets(this.#length(initial)).slice() as Bytes; // a slice has a buffer of its own
      case major.text:
        return this.#text(initial);
      case major.array:
        return this.#array(this.#length(initial));
      case major.map:
        return this.#map(this.#length(initial));
      case major.simple:
        return this.#simple(initial);
      default:
        throw malformed("a tag");
    }
  }

  #array(length: number): CborValue[] {
    this.#enter();
    const items: CborValue[] = [];
    for (let index = 0; index < length; index++) items.push(this.#value());
    this.#depth -= 1;
    return items;
  }

  #map(length: number): { readonly [key: string]: CborValue } {
    this.#enter();
    const map: Record<string, CborValue> = {};
    let [formerStart, formerEnd] = [0, 0];
    for (let index = 0; index < length; index++) {
      const start = this.#at;
      const initial = this.#byte();
      if (initial >> 5 !== major.text) throw malformed("a key that is no text");
      const key = this.#text(initial);
      if (index > 0 && !this.#isBehind(start, this.#at, formerStart, formerEnd)) throw malformed("keys out of order");
      [formerStart, formerEnd] = [start, this.#at];
      const value = this.#value();
      if (key === "__proto__") Object.defineProperty(map, key, { value, enumerable: true });
      else map[key] = value;
    }
    this.#depth -= 1;
    return map;
  }

  /** Whether the encoded key at `start` comes after the former one bytewise (RFC 8949 §4.2.1); so no two are the same. */
  #isBehind(start: number, end: number, formerStart: number, formerEnd: number): boolean {
    const bytes = this.#bytes;
    const common = Math.min(end - start, formerEnd - formerStart);
    for (let offset = 0; offset < common; offset++) {
      const difference = (bytes[start + offset] ?? 0) - (bytes[formerStart + offset] ?? 0);
      if (difference !== 0) return difference > 0;
    }
    return end - start > formerEnd - formerStart;
  }

  #text(initial: number): string {
    const length = this.#length(initial);
    const octets = this.#octets(length);
    if (length > shortTextBytes) return decoder.decode(octets);
    let text = "";
    for (let index = 0; index < length; index++) {
      const octet = octets[index] ?? 0;
      if (octet > 0x7f) return decoder.decode(octets);
      text += String.fromCharCode(octet);
    }
    return text;
  }

  #negative(initial: number): number {
    const value = -1 - this.#argument(initial);
    if (!Number.isSafeInteger(value)) throw malformed("a number beyond ±2^53-1");
    return value;
  }

  #simple(initial: number): CborValue {
    if (initial === 0xf4) return false;
    if (initial === 0xf5) return true;
    if (initial === 0xf6) return null;
    if (initial !== 0xfb) throw malformed("a simple value that is none of ours");
    this.#demand(8);
    const value = this.#view.getFloat64(this.#at);
    this.#at += 8;
    if (!Number.isFinite(value) || Number.isSafeInteger(value)) throw malformed("a float that is no fraction");
    return value;
  }

  /** A length: no more than bytes are left, since each item takes one at least. */
  #length(initial: number): number {
    const length = this.#argument(initial);
    this.#demand(length);
    return length;
  }

  #argument(initial: number): number {
    const short = initial & 0x1f;
    if (short < 24) return short;
    switch (short) {
      case 24:
        return shortest(this.#byte(), 24);
      case 25:
        this.#demand(2);
        this.#at += 2;
        return shortest(this.#view.getUint16(this.#at - 2), 0x100);
      case 26:
        this.#demand(4);
        this.#at += 4;
        return shortest(this.#view.getUint32(this.#at - 4), 0x1_0000);
      case 27: {
        this.#demand(8);
        this.#at += 8;
        const high = this.#view.getUint32(this.#at - 8);
        const value = shortest(high * 0x1_0000_0000 + this.#view.getUint32(this.#at - 4), 0x1_0000_0000);
        if (!Number.isSafeInteger(value)) throw malformed("a number beyond ±2^53-1");
        return value;
      }
      default:
        throw malformed("an indefinite length");
    }
  }

  #octets(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #byte(): number {
    this.#demand(1);
    this.#at += 1;
    return this.#bytes[this.#at - 1] ?? 0;
  }

  #demand(count: number): void {
    if (count > this.#bytes.length - this.#at) throw malformed("the end came too early");
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > depthMax) throw malformed("too deep");
  }
}

function shortest(value: number, least: number): number {
  if (value < least) throw malformed("a longer form than needed");
  return value;
}

function malformed(what: string): TypeError {
  return new TypeError(`not deterministic CBOR: ${what}`);
}
