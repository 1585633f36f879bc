import { type Clock, sleep } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Db } from "../db/index.ts";
import type { Lease } from "../leases/index.ts";
import { type PurgeRule, purgeRules } from "./purge-rules.ts";
import type { Retention } from "./settings.ts";

const rowsPerBatch = 500;
/** Between two batches: what people and agents wait for goes first. */
const pauseMs = 20;
const everyMs = 60_000;

export interface PurgeDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  readonly retention: Retention;
}

/** Deletes at most 500 rows of a rule; resolves with their number. */
async function purgeBatch(db: Db, lease: Lease, rule: PurgeRule): Promise<number> {
  const { table, key, where, order, params } = rule;
  const [, result] = await db.write(lease.fence, {
    sql: `DELETE FROM ${table} WHERE ${key} IN (SELECT ${key} FROM ${table} WHERE ${where}
ORDER BY ${order} LIMIT ${rowsPerBatch})`,
    params,
  });
  return result?.rowsAffected ?? 0;
}

/** Deletes all whose life has passed, in small batches; resolves with the number of rows per table. */
export async function purgeOnce(deps: PurgeDeps, lease: Lease, signal: AbortSignal): Promise<Record<string, number>> {
  const purged: Record<string, number> = {};
  for (const rule of purgeRules(deps.retention, deps.clock.now())) {
    for (;;) {
      signal.throwIfAborted();
      const rows = await purgeBatch(deps.db, lease, rule);
      if (rows > 0) purged[rule.table] = (purged[rule.table] ?? 0) + rows;
      if (rows < rowsPerBatch) break;
      await sleep(deps.clock, pauseMs, { signal });
    }
  }
  return purged;
}

/** Purges every minute until the signal aborts: leased work. */
export async function purgeForever(deps: PurgeDeps, lease: Lease, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const purged = await purgeOnce(deps, lease, signal);
    if (Object.keys(purged).length > 0) deps.log.info("purged what had outlived its time", purged);
    await sleep(deps.clock, everyMs, { signal }).catch(() => undefined); // aborted: the loop ends
  }
}
