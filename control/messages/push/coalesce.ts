import { cutBatch, type Piece } from "#lib/delivery";
import type { PushItem } from "./push-item.ts";

/** What an entry carries beside each body: names, id, times, and its share of the frame. Bytes, roughly. */
const messageOverheadBytes = 160;

/** A message that waits for its lane's next entry. */
export interface Waiting {
  readonly id: string;
  /** Lower-case hex; undefined without a key: nothing can bring this id again. */
  readonly bodyHash: string | undefined;
  readonly item: PushItem;
}

/**
 * How many of `queue` go into the next entry: as many as fit 256 KiB and 512 messages, one larger body alone. An id
 * stands in an entry once: its repeat waits for the next, when the first has its row.
 */
export function nextEntryLength(queue: readonly Waiting[]): number {
  return cutBatch(distinct(queue));
}

/** Sizes of the messages in front of the first one whose id has been there. */
function* distinct(queue: readonly Waiting[]): Generator<Piece> {
  const ids = new Set<string>();
  for (const { id, item } of queue) {
    if (ids.has(id)) return;
    ids.add(id);
    yield { bytes: item.body.length + messageOverheadBytes, messages: 1 };
  }
}
