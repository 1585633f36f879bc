import { CborReader } from "./cbor-reader.ts";
import { CborWriter } from "./cbor-writer.ts";
import type { Bytes } from "./octets.ts";

/** What our CBOR carries: no floats, tags, undefined or indefinite lengths. */
export type CborValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly CborValue[]
  | { readonly [key: string]: CborValue };

/** Deterministic CBOR (RFC 8949 §4.2.1): shortest forms, map keys sorted by their encoded bytes. */
export function encodeCbor(value: CborValue): Bytes {
  const writer = new CborWriter();
  writer.write(value);
  return writer.finish();
}

/**
 * The one value these bytes encode. TypeError for anything that is not the deterministic CBOR of a `CborValue`: trailing bytes,
 * duplicate or unsorted keys, longer forms than needed, indefinite lengths, floats of whole numbers, text that is no UTF-8,
 * more than 32 arrays and maps in one another.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  return new CborReader(bytes).whole();
}
