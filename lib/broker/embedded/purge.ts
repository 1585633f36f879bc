import type { Clock } from "#lib/clock";
import { commandLifeMs, dedupWindowMs, eventLifeMs, nodeLifeMs } from "../lifetimes.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { messageLifeMs } from "./mailbox.ts";

/** Rows that one statement removes at most: a purge must not hold up those who publish. */
const rowsMax = 2_000;

/** Forgets what has had its time: keys of confirmed entries, expired commands, old messages and replicas, events by age and size. */
export async function purge(store: EmbeddedStore, clock: Clock, eventBytesMax: number): Promise<void> {
  const now = clock.now();
  await store.write([
    {
      sql: `DELETE FROM entry WHERE seq IN (SELECT seq FROM entry WHERE body IS NULL AND time < ? LIMIT ?)`,
      params: [now - dedupWindowMs, rowsMax],
    },
  ]);
  await store.write([{ sql: "DELETE FROM message WHERE time < ?", params: [now - messageLifeMs] }]);
  await store.write([{ sql: "DELETE FROM value WHERE kind = 'node' AND time < ?", params: [now - 2 * nodeLifeMs] }]);
  await expireQueues(store, "name LIKE 'command.%'", now - commandLifeMs);
  await expireQueues(store, "name = 'event'", now - eventLifeMs);
  await trimEvents(store, eventBytesMax);
}

/** Takes out of the queues that fit `which` what is older than `before`. */
async function expireQueues(store: EmbeddedStore, which: string, before: number): Promise<void> {
  const rows = await store.read<{ id: number; seq: number }>(
    `SELECT queue AS id, max(seq) AS seq FROM entry
      WHERE queue IN (SELECT id FROM queue WHERE ${which} AND entries > 0) AND body IS NOT NULL AND time < ?
      GROUP BY queue LIMIT ?`,
    [before, rowsMax],
  );
  for (const { id, seq } of rows) await store.takeOut(id, seq);
}

async function trimEvents(store: EmbeddedStore, bytesMax: number): Promise<void> {
  const [queue] = await store.read<{ id: number; bytes: number }>("SELECT id, bytes FROM queue WHERE name = 'event'");
  if (queue === undefined || queue.bytes <= bytesMax) return;
  const [row] = await store.read<{ seq: number | null }>(
    `SELECT max(seq) AS seq FROM (
      SELECT seq, sum(size) OVER (ORDER BY seq) AS total FROM (
        SELECT seq, size FROM entry WHERE queue = ? AND body IS NOT NULL ORDER BY seq LIMIT ?)) WHERE total <= ?`,
    [queue.id, rowsMax, queue.bytes - bytesMax],
  );
  if (typeof row?.seq === "number") await store.takeOut(queue.id, row.seq);
}
