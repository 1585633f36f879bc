import { fromUtf8 } from "#lib/bytes";
import { isSealed, readMessageUnverified, readSealedBody } from "#lib/statement";
import type { Messenger } from "../../messenger/index.ts";
import type { ReceivedItem } from "./received-items.ts";

/** A stored message as whoever may read it sees it. */
export interface ReadItem extends ReceivedItem {
  /** It was sealed on its way; its body and content type are what was inside, where Solaris is its consumer. */
  readonly sealed: boolean;
}

/**
 * A message that is for Solaris, opened in memory; any other as it is. It was verified when it was stored. What can't be opened (it is
 * another consumer's, or a person took it all the same) stays what it is.
 */
export async function openForReading(messenger: Messenger, item: ReceivedItem): Promise<ReadItem> {
  if (!isSealed(item)) return { ...item, sealed: false };
  try {
    const { jwe, kid } = readSealedBody(item.body);
    const keys = await messenger.keys();
    if (kid !== keys.identity.last.hash) return { ...item, sealed: true };
    const { contentType, body } = readMessageUnverified(fromUtf8(await keys.unseal(jwe)));
    const { contentType: _outer, ...rest } = item;
    return { ...rest, ...(contentType === undefined ? {} : { contentType }), body, sealed: true };
  } catch {
    return { ...item, sealed: true }; // shown as the ciphertext that it is
  }
}
