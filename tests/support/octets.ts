import { type Bytes, fromHex } from "#lib/bytes";

/** Bytes of a hexadecimal text written in a test; blanks are ignored. */
export function octets(hexadecimal: string): Bytes {
  const bytes = fromHex(hexadecimal.replace(/\s/g, ""));
  if (bytes === undefined) throw new TypeError(`not hexadecimal: ${hexadecimal}`);
  return bytes;
}

/** A copy with one bit of the byte at `index` turned. */
export function withBitTurned(bytes: Uint8Array, index: number, bit = 0): Bytes {
  const copy = Uint8Array.from(bytes);
  copy[index] = (copy[index] ?? 0) ^ (1 << bit);
  return copy;
}
