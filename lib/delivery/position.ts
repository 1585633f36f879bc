import { batchMessagesMax } from "#lib/limits";

/** Messages of one broker entry take this many places. */
export const placesPerEntry = 1_024;

if (batchMessagesMax > placesPerEntry) throw new RangeError("an entry's messages must have a place each");

/**
 * Place of a message in its down lane as one number, comparable with watermarks: `seq * 1024 + index`. RangeError for an index that has no
 * place in an entry, or past 2^53-1 (sequence 8.7 * 10^12).
 */
export function positionOf(seq: number, index: number): number {
  const position = seq * placesPerEntry + index;
  if (index < 0 || index >= placesPerEntry || !Number.isSafeInteger(position))
    throw new RangeError("no place in a lane");
  return position;
}
