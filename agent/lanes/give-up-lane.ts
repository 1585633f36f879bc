import type { Clock, Random } from "#lib/clock";
import { positionOf } from "#lib/delivery";
import type { Log } from "#lib/log";
import type { Statement } from "#lib/runtime";
import type { Lane } from "../store/lane-store.ts";
import type { EncodedUp } from "../store/up-letters.ts";
import { makeLetters } from "./lane-letters.ts";

/**
 * Sends what waits for a plugin that was removed back up as dead letters, so that nobody waits for what can't happen; answers how
 * many. Nothing else may read the lane meanwhile. Faults: `lane_full`, `disk_full`: what is left is tried again another time.
 */
export async function giveUpLane(lane: Lane, clock: Pick<Clock, "now">, random: Random, log: Log): Promise<number> {
  const letters = makeLetters(random, () => clock.now());
  const why = { code: "unknown_plugin" as const, reason: "the plugin was removed from this node", tries: 0 };
  let count = 0;
  lane.inbox.rewind();
  for (let entry = await lane.inbox.next(); entry !== undefined; entry = await lane.inbox.next()) {
    const { n, created, seq, messages } = entry;
    const start = lane.inbox.startIn(entry);
    const dead = messages.flatMap((message, index): EncodedUp[] => {
      if (message === null || index < start) return [];
      return [letters.dead(message, { created, position: positionOf(seq, index) }, why)];
    });
    const position = positionOf(seq, messages.length - 1);
    const settled = { n, index: messages.length, created, position, at: Math.floor(clock.now()) };
    await lane.outbox.appendWith(dead, (also: readonly Statement[]) => lane.inbox.settle(settled, { also }));
    count += dead.length;
  }
  if (count > 0) log.warn("messages of a removed plugin given up", { count });
  return count;
}
