import { encodeCbor } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Db, Seals } from "../../db/index.ts";
import type { Lease } from "../../leases/index.ts";
import type { ReceivedFeed } from "./feed.ts";
import { openEntries, type ReceivedEntry } from "./reader.ts";

/** Publishes one event under an id that stores it once. */
export type PublishEvent = (
  lane: { readonly agent: string; readonly plugin: string },
  bytes: Uint8Array,
  id: string,
) => Promise<unknown>;

export interface EventDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly clock: Clock;
  readonly log: Log;
  readonly feed: Pick<ReceivedFeed, "changed">;
  readonly publishEvent: PublishEvent;
}

const reader = "events";
const entriesAtOnce = 16;
const lookAgainMs = 5_000;

/**
 * Publishes what ingest stored, entry by entry, for other cloud services (DESIGN §5): at least once, each under the id
 * `received-<seq>`. Leased work: begins where the holder before it came to.
 */
export async function publishEvents(deps: EventDeps, lease: Lease, signal: AbortSignal): Promise<void> {
  let seq = await startOf(deps.db, lease);
  while (!signal.aborted) {
    const entries = await openEntries(deps, {}, { seq, index: 1_023 }, entriesAtOnce);
    for (const entry of entries) {
      await publishEntry(deps, entry);
      seq = entry.seq;
    }
    if (entries.length === 0) await deps.feed.changed(seq, lookAgainMs, signal);
    else
      await deps.db.write(lease.fence, {
        sql: "UPDATE received_readers SET seq = ? WHERE name = ?",
        params: [seq, reader],
      });
  }
}

/** An entry that is too large as an event is left out, and said so: it can be read here. */
async function publishEntry(deps: EventDeps, entry: ReceivedEntry): Promise<void> {
  try {
    await deps.publishEvent(
      { agent: entry.agentId, plugin: entry.plugin },
      encodeEvent(entry),
      `received-${entry.seq}`,
    );
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "too_large") throw error;
    deps.log.error("an entry is too large for an event", { seq: entry.seq });
  }
}

/** Where to begin: the first time with what comes from now on. */
async function startOf(db: Db, lease: Lease): Promise<number> {
  const [, , result] = await db.write(
    lease.fence,
    {
      sql: `INSERT INTO received_readers (name, seq) SELECT ?, coalesce(max(seq), 0) FROM received WHERE true
        ON CONFLICT (name) DO NOTHING`,
      params: [reader],
    },
    { sql: "SELECT seq FROM received_readers WHERE name = ?", params: [reader] },
  );
  return Number(result?.rows[0]?.seq ?? 0);
}

/** Deterministic CBOR: `v`, `agent`, `plugin`, `generation`, `receivedAt`, `messages` of `number`, `id`, `time`, `contentType`, `body`. */
function encodeEvent({ agentId, plugin, generation, at, items }: ReceivedEntry) {
  const messages = items.map(({ number, id, time, contentType = null, body }) => ({
    number,
    id,
    time,
    contentType,
    body,
  }));
  return encodeCbor({ v: 1, agent: agentId, plugin, generation, receivedAt: at, messages });
}
