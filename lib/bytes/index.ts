/** Bytes and their text forms. Layer 0: pure, no I/O. */
export { base64url, fromBase64url } from "./base64url.ts";
export { type CborValue, decodeCbor, encodeCbor } from "./cbor.ts";
export { fromHex, hex } from "./hex.ts";
export { decodeJson, encodeJson, type JsonValue } from "./json.ts";
export { type Bytes, compareBytes, concat, equalBytes, readUint32, readUint64, uint32, uint64 } from "./octets.ts";
export { fromUtf8, utf8 } from "./text.ts";
