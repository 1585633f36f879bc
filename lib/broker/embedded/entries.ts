import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { entryBytesMax } from "#lib/limits";
import type { Statement } from "#lib/runtime";
import type { Destination, Entry } from "../broker.ts";
import { commandLifeMs } from "../lifetimes.ts";
import { entryKey, keyParts, queueOf } from "../subjects.ts";
import { type Limits, refusingBytesMax } from "./embedded-limits.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import type { StoredEntry } from "./open-queue.ts";

const commandsMax = 100;
const queueIdsMax = 100_000;

/** What became of a publish. */
export type Stored =
  | {
      readonly duplicate: false;
      readonly entry: StoredEntry;
      /** Newest entry that waits in front of it; 0 = none. */
      readonly before: number;
    }
  | { readonly duplicate: true; readonly seq: number };

/** Writing of entries, within their queues' quotas. */
export class Entries {
  readonly #store: EmbeddedStore;
  readonly #clock: Clock;
  readonly #limits: Limits;
  /** Ids of queues by name, as far as this process has met them. */
  readonly #queueIds = new Map<string, number>();

  constructor(store: EmbeddedStore, clock: Clock, limits: Limits) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Stores an entry, and does `also` in the same transaction. Faults of the port. */
  async store(to: Destination, bytes: Uint8Array, id: string, also: readonly Statement[]): Promise<Stored> {
    if (bytes.length > entryBytesMax) throw new Fault("too_large", "an entry is larger than its limit");
    const queue = queueOf(to);
    const key = entryKey(to, id);
    const queueId = await this.#queueId(queue, refusingBytesMax(this.#limits, to.kind));
    const time = this.#clock.now();
    try {
      const results = await this.#store.write([
        {
          sql: "SELECT coalesce(max(seq), 0) AS seq FROM entry WHERE queue = ? AND body IS NOT NULL",
          params: [queueId],
        },
        {
          sql: "INSERT INTO entry (queue, key, time, size, body) VALUES (?, ?, ?, ?, ?) RETURNING seq",
          params: [queueId, key, time, bytes.length, bytes],
        },
        ...also,
      ]);
      const before = results[0]?.rows[0]?.seq;
      const seq = results[1]?.rows[0]?.seq;
      if (typeof before !== "number" || typeof seq !== "number") throw new TypeError("a stored entry has a sequence");
      return { duplicate: false, entry: { seq, key, time, body: bytes.slice() }, before };
    } catch (error) {
      return { duplicate: true, seq: await this.#known(error, queue, queueId, key) };
    }
  }

  /** Commands of an agent that have not expired, oldest first, behind `after`. */
  async commands(agent: string, after: number, created: string): Promise<Entry[]> {
    const rows = await this.#store.read<StoredEntry>(
      `SELECT seq, key, time, body FROM entry WHERE queue = (SELECT id FROM queue WHERE name = ?)
        AND seq > ? AND body IS NOT NULL AND time > ? ORDER BY seq LIMIT ?`,
      [queueOf({ kind: "command", agent }), after, this.#clock.now() - commandLifeMs, commandsMax],
    );
    return rows.map((row) => entryOf(row, created));
  }

  /** Sequence of the entry that has this key; without one, why the publish failed: a quota, or what the database says. */
  async #known(error: unknown, queue: string, queueId: number, key: string): Promise<number> {
    if (!(error instanceof Fault && error.code === "conflict")) throw error;
    const known = await this.#store.read<{ seq: number }>("SELECT seq FROM entry WHERE queue = ? AND key = ?", [
      queueId,
      key,
    ]);
    if (known[0] !== undefined) return known[0].seq;
    const { constraint } = error.detail;
    if (constraint !== "queue_full" && constraint !== "stream_full")
      throw new Fault("broker", "the broker's file refused an entry", { cause: error });
    const limit = constraint === "queue_full" && queue !== "up" ? "lane" : "broker";
    throw new Fault("lane_full", undefined, { detail: { limit } });
  }

  async #queueId(name: string, bytesMax: number): Promise<number> {
    const known = this.#queueIds.get(name);
    if (known !== undefined) return known;
    const select = { sql: "SELECT id FROM queue WHERE name = ?", params: [name] };
    const results = await this.#store.write([createQueue(name, bytesMax), select]);
    const id = results[1]?.rows[0]?.id;
    if (typeof id !== "number") throw new TypeError("a queue has an id");
    if (this.#queueIds.size >= queueIdsMax) this.#queueIds.clear();
    this.#queueIds.set(name, id);
    return id;
  }
}

/** Makes a queue unless it is there. */
export function createQueue(name: string, bytesMax: number): Statement {
  const sql = "INSERT INTO queue (name, bytes_max) VALUES (?, ?) ON CONFLICT (name) DO NOTHING";
  return { sql, params: [name, bytesMax] };
}

/** A row as the port's callers see it. */
export function entryOf({ seq, key, time, body }: StoredEntry, created: string): Entry {
  return { created, seq, ...keyParts(key), timeMs: time, bytes: body };
}
