import { batchBytes, batchMessagesMax } from "#lib/limits";
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
  const ids = new Set<string>();
  let bytes = 0;
  for (const [index, { id, item }] of queue.entries()) {
    bytes += item.body.length + messageOverheadBytes;
    if (index > 0 && (index >= batchMessagesMax || bytes > batchBytes || ids.has(id))) return index;
    ids.add(id);
  }
  return queue.length;
}
