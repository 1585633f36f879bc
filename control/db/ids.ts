import { base64url, uint64 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** Makes ids that sort by the time they were made: `prefix_` + 26 of Crockford's base 32 (48 bits of ms, 80 random). */
export type NewId = (prefix: string) => string;

export function makeNewId(clock: Clock, random: Random): NewId {
  return (prefix) => {
    const time = uint64(clock.now()).subarray(2);
    return `${prefix}_${crockford(time, 10)}${crockford(random(10), 16)}`;
  };
}

/** A secret key that people copy: `prefix_` + base64url of 32 random bytes. */
export function newSecretText(random: Random, prefix: string): string {
  return `${prefix}_${base64url(random(32))}`;
}

function crockford(bytes: Uint8Array, digits: number): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  let text = "";
  for (let digit = 0; digit < digits; digit++) {
    text = `${alphabet[Number(value & 31n)]}${text}`;
    value >>= 5n;
  }
  return text;
}
