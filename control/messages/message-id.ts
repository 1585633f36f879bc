import { concat, hex, uint64 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import { Fault } from "#lib/fault";

const keyLengthMax = 255;

/** Id of a message without a key: 48 bits of time, so that new rows lie side by side, and 80 random. 32 hex digits. */
export function newMessageId(clock: Clock, random: Random): string {
  return hex(concat(uint64(clock.now()).subarray(2), random(10)));
}

/** The key as a header or a batch item gave it: 1 … 255 visible ASCII characters. Fault `bad_request`. */
export function checkedIdempotencyKey(key: string | undefined): string | undefined {
  if (key === undefined) return undefined;
  if (key.length === 0 || key.length > keyLengthMax || !/^[\x20-\x7e]+$/.test(key))
    throw new Fault("bad_request", `Idempotency-Key must be 1 to ${keyLengthMax} printable ASCII characters`);
  return key;
}
