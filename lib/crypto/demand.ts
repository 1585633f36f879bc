import type { Bytes } from "#lib/bytes";

/** Throws unless `bytes` are bytes, and as many as `lengthBytes`: for what only the caller can have got wrong. */
export function demandBytes(what: string, bytes: Uint8Array, lengthBytes?: number): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what} must be a Uint8Array`);
  if (lengthBytes !== undefined && bytes.length !== lengthBytes)
    throw new RangeError(`${what} must be ${lengthBytes} bytes, not ${bytes.length}`);
}

/** `bytes` as Web Crypto takes them: themselves over a plain ArrayBuffer, a copy of anything else. */
export function plainBytes(bytes: Uint8Array): Bytes {
  return isPlain(bytes) ? bytes : new Uint8Array(bytes);
}

function isPlain(bytes: Uint8Array): bytes is Bytes {
  return bytes.buffer instanceof ArrayBuffer && !bytes.buffer.resizable;
}

/** Largest output of HKDF-SHA-256: 255 blocks of 32 bytes (RFC 5869 §2.3). */
const hkdfLengthMax = 255 * 32;

/** RangeError unless HKDF-SHA-256 can give `lengthBytes`, and it is at least 1. */
export function demandHkdfLength(lengthBytes: number): void {
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > hkdfLengthMax)
    throw new RangeError(`HKDF-SHA-256 gives 1 to ${hkdfLengthMax} bytes, not ${lengthBytes}`);
}
