import { fromHex } from "#lib/bytes";

/** p = 2^255 - 19, little-endian (RFC 8032 §5.1). */
const p = littleEndian("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");

/** L, the order of the base point, little-endian (RFC 8032 §5.1). */
const groupOrder = littleEndian("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");

/**
 * y of the eight points whose order divides the cofactor, little-endian: orders 4, 1, 2, 8 and 8. A point and
 * its negative share their y, so five values name all eight.
 */
const smallOrderY = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000001",
  "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec",
  "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
  "7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7",
].map(littleEndian);

/**
 * Whether a key and a signature have a form that every suite may look at: 32 and 64 bytes, S < L, A and R with
 * y < p and not of small order. Runtimes differ in just these points (RFC 8032 §5.1.7 leaves them open, the Web
 * Crypto text forbids them, BoringSSL takes some), and where verifiers differ, two nodes disagree about one
 * statement. Whether A and R are on the curve is left to the equation.
 */
export function isStrictEd25519(publicKey: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  if (!isBelow(signature.subarray(32), groupOrder)) return false;
  return isStrictPoint(publicKey) && isStrictPoint(signature.subarray(0, 32));
}

/** Public values only: takes different time for different points. */
function isStrictPoint(encoded: Uint8Array): boolean {
  const y = Uint8Array.from(encoded);
  y[31] = (y[31] ?? 0) & 0x7f; // the top bit is the sign of x
  return isBelow(y, p) && !smallOrderY.some((small) => small.every((byte, index) => byte === y[index]));
}

/** Whether a < b, both 32 bytes little-endian. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  for (let index = 31; index >= 0; index--) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function littleEndian(bigEndianHex: string): Uint8Array {
  const bytes = fromHex(bigEndianHex);
  if (bytes === undefined) throw new TypeError("not hexadecimal");
  return bytes.reverse();
}
