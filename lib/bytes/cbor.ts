import { decode } from "cborg";
import { CborWriter } from "./cbor-writer.ts";
import { type Bytes, compareBytes } from "./octets.ts";

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
 * The one value these bytes encode. Throws on anything that is not the deterministic CBOR of a `CborValue`: trailing bytes,
 * duplicate or unsorted keys, longer forms than needed, indefinite lengths, floats of whole numbers, text that is no UTF-8.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const value: CborValue = decode(bytes, {
    strict: true,
    allowIndefinite: false,
    allowUndefined: false,
    allowInfinity: false,
    allowNaN: false,
    allowBigInt: false,
    rejectDuplicateMapKeys: true,
  });
  // The library passes some other spellings; what its own encoder would not write is none of ours.
  const again = encodeCbor(value);
  if (again.length !== bytes.length || compareBytes(again, bytes) !== 0) throw new TypeError("not deterministic CBOR");
  return value;
}
