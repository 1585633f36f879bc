import { batchBytes, batchMessagesMax } from "#lib/limits";

/** Something that goes into an entry whole. */
export interface Piece {
  readonly bytes: number;
  /** Messages that it is. */
  readonly messages: number;
}

/**
 * How many pieces from the front make the next entry: as many as fit `batchBytes` and `batchMessagesMax` together; a first one that is
 * larger goes alone. 0 only when there is none. Reads no piece behind the first that does not fit.
 */
export function cutBatch(pieces: Iterable<Piece>): number {
  let bytes = 0;
  let messages = 0;
  let count = 0;
  for (const piece of pieces) {
    bytes += piece.bytes;
    messages += piece.messages;
    if (count > 0 && (bytes > batchBytes || messages > batchMessagesMax)) break;
    count += 1;
  }
  return count;
}
