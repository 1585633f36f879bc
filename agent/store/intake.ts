import { asFault } from "#lib/fault";
import { sealedDownAgeMaxMs } from "#lib/limits";
import type { DownMessage } from "#lib/session";
import { isSealed } from "#lib/statement";
import { type EntryOrigin, type IncomingEntry, letterAbout } from "./incoming.ts";

/** What decides whether a lane takes a message (PROTOCOL §8). */
export interface LaneIntake {
  /** Whether only sealed messages are taken. */
  readonly required: boolean;
  /** Resolves with when its sender signed it, undefined for a message without a signature. Faults say why it is not taken. */
  take(message: DownMessage): Promise<number | undefined>;
}

/**
 * `entry` without what its lane does not take: each such message becomes a dead letter with the reason, its neighbours stay. Ids of
 * sealed messages are remembered by the time that was signed, and forgotten by this node's clock: a broker's word moves neither. A
 * letter says nothing about an id that the lane `had`: whoever writes a genuine id over something else must not declare it dead.
 */
export async function checkIncoming(
  entry: IncomingEntry,
  intake: LaneIntake,
  origin: Pick<EntryOrigin, "now" | "newId">,
  had: (id: string) => Promise<boolean>,
): Promise<IncomingEntry> {
  const some = entry.messages.some((message) => message !== null && isSealed(message));
  if (!some && !intake.required) return entry;
  const letters = [...entry.letters];
  const messages: (DownMessage | null)[] = [];
  const signedAt = new Map<string, number>();
  for (const [index, message] of entry.messages.entries()) {
    messages.push(message);
    if (message === null) continue;
    try {
      const at = await intake.take(message);
      if (at !== undefined) signedAt.set(message.id, at);
    } catch (error) {
      messages[index] = null;
      const place = { ...origin, created: entry.created, seq: entry.seq };
      const about = (await had(message.id)) ? undefined : message.id;
      letters.push(letterAbout(message, about, place, index, asFault(error, "crypto")));
    }
  }
  return { ...entry, messages, letters, signedAt, forgetBefore: origin.now - sealedDownAgeMaxMs };
}
