import type { Bytes } from "./octets.ts";
import { fromUtf8, utf8 } from "./text.ts";

/** What JSON can say (RFC 8259). */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue | undefined };

/** JSON without white space, as UTF-8; names in the order they have. Undefined fields are left out. */
export function encodeJson(value: JsonValue): Bytes {
  return utf8(JSON.stringify(value));
}

/**
 * The value of UTF-8 JSON that is written exactly as `encodeJson` would write it: so no name comes twice, and
 * there is no white space or second spelling for two readers to take differently. Throws on anything else.
 */
export function decodeJson(bytes: Uint8Array): unknown {
  const text = fromUtf8(bytes);
  const value: unknown = JSON.parse(text);
  if (JSON.stringify(value) !== text) throw new SyntaxError("not JSON in its one compact form");
  return value;
}
