import { decode } from "cborg";
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
 * The one value these bytes encode. Throws on anything that is not deterministic CBOR of `CborValue`:
 * trailing bytes, duplicate keys, non-shortest integers, indefinite lengths, undefined, tags.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  return decode(bytes, {
    strict: true,
    allowIndefinite: false,
    allowUndefined: false,
    allowInfinity: false,
    allowNaN: false,
    allowBigInt: false,
    rejectDuplicateMapKeys: true,
  });
}
