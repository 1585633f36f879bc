import { positionOf } from "#lib/delivery";
import { sealedDownAgeMaxMs } from "#lib/limits";
import type { Database, Statement } from "#lib/runtime";
import type { Cursor, DownMessage } from "#lib/session";
import { type IncomingEntry, readStoredMessages, type StoredEntry } from "./incoming.ts";
import { type LaneRow, laneSpan, numberOf } from "./lane-row.ts";
import type { Quota } from "./quota.ts";
import { forgetIds, rememberIds, seenAmong, seenSince } from "./seen-ids.ts";
import { appendUp, upBytes } from "./up-letters.ts";

/** Decoded entries kept for the executor, so that a lane that keeps pace never reads its entries back. */
const cacheBytesMax = 1024 * 1024;
const entriesPerRead = 4;
/** What an entry's row costs beside its body, in quotas. */
export const entryOverheadBytes = 256;

/** How far a lane's messages have been settled: applied, dead, held or skipped. */
export interface Settled {
  readonly n: number;
  /** Messages of entry `n` that are settled. */
  readonly index: number;
  readonly created: string;
  readonly position: number;
  readonly at: number;
}

/** The down half of one lane. `store` and `settle` are each called by one task at a time. */
export class LaneInbox {
  readonly #database: Database;
  readonly #lane: number;
  readonly #quota: Quota;
  readonly #outboxQuota: Quota;
  readonly #listeners = new Set<() => void>();
  #cursor: Cursor | null;
  #storedPosition: number;
  #storedN: number;
  #settled: Settled;
  #left: { readonly calling: boolean; readonly tries: number };
  #handedN: number;
  #cache: StoredEntry[] = [];
  #cacheBytes = 0;

  constructor(database: Database, row: LaneRow, quota: Quota, outboxQuota: Quota) {
    this.#database = database;
    this.#lane = row.id;
    this.#quota = quota;
    this.#outboxQuota = outboxQuota;
    this.#cursor = row.created === null ? null : { created: row.created, seq: row.stored_seq };
    this.#storedPosition = row.stored_position;
    this.#storedN = row.stored_n;
    this.#settled = {
      n: row.settled_n,
      index: row.settled_index,
      created: row.settled_created ?? "",
      position: row.settled_position,
      at: row.settled_at,
    };
    this.#left = { calling: row.calling === 1, tries: row.tries };
    this.#handedN = Math.max(0, row.settled_n - 1);
  }

  /** What the broker's stream is to go on after; null = nothing was ever stored. */
  get cursor(): Cursor | null {
    return this.#cursor;
  }

  get storedPosition(): number {
    return this.#storedPosition;
  }

  get settled(): Settled {
    return this.#settled;
  }

  /** Of the message behind the settled mark: whether a call of it was noted, and how often it was refused. */
  get left(): { readonly calling: boolean; readonly tries: number } {
    return this.#left;
  }

  fits(bytes: number): boolean {
    return this.#quota.fits(this.#lane, bytes);
  }

  held(): { readonly bytes: number; readonly messages: number } {
    return this.#quota.held(this.#lane);
  }

  /** Calls `listener` after entries were stored or settled. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Stores entries in their order: what stands at or below the cursor is dropped, ids that were stored before are
   * skipped, what is no message goes to the outbox as a dead letter; cursor, ids and letters in the same transaction.
   */
  async store(entries: readonly IncomingEntry[]): Promise<void> {
    const fresh = entries.filter((entry) => this.#isNew(entry));
    const [last] = fresh.slice(-1);
    if (last === undefined) return;
    const known = await this.#known(fresh);
    const set: Statement[] = [];
    const stored: { entry: StoredEntry; bytes: number }[] = [];
    let [n, letterBytes, letterCount] = [this.#storedN, 0, 0];
    for (const entry of fresh) {
      n++;
      const messages = entry.messages.map((message) => {
        if (message === null || known.has(message.id)) return null;
        known.add(message.id);
        return message;
      });
      const skip = messages.flatMap((message, index) => (message === null ? [index] : []));
      const body = skip.length === messages.length ? new Uint8Array() : entry.body;
      set.push(
        {
          sql: "INSERT INTO inbox (k, created, seq, at, messages, bytes, skip, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          params: [
            this.#lane * laneSpan + n,
            entry.created,
            entry.seq,
            entry.at,
            messages.length,
            body.length,
            skip.length === 0 ? null : JSON.stringify(skip),
            body,
          ],
        },
        ...byTime(entry, messages).flatMap(([time, ids]) => rememberIds(this.#lane, time, ids)),
        ...appendUp(this.#lane, entry.letters),
      );
      letterBytes += upBytes(entry.letters);
      letterCount += entry.letters.length;
      stored.push({ entry: { n, created: entry.created, seq: entry.seq, messages }, bytes: body.length });
    }
    const storedPosition = positionOf(last.seq, last.messages.length - 1);
    set.push({
      sql: "UPDATE lane SET created = ?, stored_seq = ?, stored_position = ?, stored_n = ? WHERE id = ?",
      params: [last.created, last.seq, storedPosition, n, this.#lane],
      expect: 1,
    });
    if (n % 64 < stored.length) set.push(forgetIds(this.#lane, last.forgetBefore ?? last.at));
    await this.#database.write(set);
    this.#outboxQuota.add(this.#lane, letterBytes, letterCount);
    for (const { entry, bytes } of stored) this.#took(entry, bytes);
    this.#cursor = { created: last.created, seq: last.seq };
    this.#storedPosition = storedPosition;
    this.#tell();
  }

  /** Whether a message of this id was stored within the time that a sealed one may be old. */
  had(id: string, now: number): Promise<boolean> {
    return seenSince(this.#database, this.#lane, id, { fromMs: now - sealedDownAgeMaxMs, toMs: now });
  }

  /** The next entry after those handed out; undefined when there is none now. */
  async next(): Promise<StoredEntry | undefined> {
    if (this.#cache.length === 0 && this.#handedN < this.#storedN) await this.#load();
    const entry = this.#cache.shift();
    if (entry === undefined) return undefined;
    this.#handedN = entry.n;
    const bytes = entryBytes(entry);
    this.#cacheBytes -= bytes;
    return entry;
  }

  /** Hands out again from the settled mark on: for another executor. */
  rewind(): void {
    this.#cache = [];
    this.#cacheBytes = 0;
    this.#handedN = Math.max(0, this.#settled.n - 1);
  }

  /** Where to begin in an entry that was handed out: messages before it are settled. */
  startIn(entry: StoredEntry): number {
    return entry.n === this.#settled.n ? this.#settled.index : 0;
  }

  /**
   * Moves the settled mark, deletes entries that are settled whole, and does `also` in the same transaction.
   * `calling`: the message at the mark is about to be handed to a system that keeps no keys.
   */
  async settle(
    to: Settled,
    options: { calling?: boolean; tries?: number; also?: readonly Statement[] } = {},
  ): Promise<void> {
    const done = await this.#database.write([
      {
        sql: `UPDATE lane SET settled_n = ?, settled_index = ?, settled_created = ?, settled_position = ?, settled_at = ?,
              calling = ?, tries = ? WHERE id = ?`,
        params: [
          to.n,
          to.index,
          to.created,
          to.position,
          to.at,
          options.calling === true ? 1 : 0,
          options.tries ?? 0,
          this.#lane,
        ],
        expect: 1,
      },
      {
        sql: "DELETE FROM inbox WHERE k >= ? AND k < ? AND (k < ? OR messages <= ?) RETURNING bytes, messages",
        params: [this.#lane * laneSpan, this.#lane * laneSpan + to.n + 1, this.#lane * laneSpan + to.n, to.index],
      },
      ...(options.also ?? []),
    ]);
    this.#settled = to;
    this.#left = { calling: options.calling === true, tries: options.tries ?? 0 };
    for (const row of done[1]?.rows ?? [])
      this.#quota.remove(this.#lane, numberOf(row.bytes) + entryOverheadBytes, numberOf(row.messages));
    this.#tell();
  }

  /** Counts what lies there: once, before anything else. */
  async count(): Promise<void> {
    const [row] = await this.#database.values(
      "SELECT COUNT(*), COALESCE(SUM(bytes), 0), COALESCE(SUM(messages), 0) FROM inbox WHERE k >= ? AND k < ?",
      [this.#lane * laneSpan, (this.#lane + 1) * laneSpan],
    );
    const [entries, bytes, messages] = [numberOf(row?.[0]), numberOf(row?.[1]), numberOf(row?.[2])];
    this.#quota.add(this.#lane, bytes + entries * entryOverheadBytes, messages);
  }

  #isNew({ created, seq }: IncomingEntry): boolean {
    return this.#cursor === null || created !== this.#cursor.created || seq > this.#cursor.seq;
  }

  async #known(entries: readonly IncomingEntry[]): Promise<Set<string>> {
    const known = new Set<string>();
    for (const entry of entries) {
      for (const [time, ids] of byTime(entry, entry.messages)) {
        for (const id of await seenAmong(this.#database, this.#lane, time, ids)) known.add(id);
        // A sealed one may have come unsealed before, under the broker's time.
        if (time === entry.at) continue;
        for (const id of await seenAmong(this.#database, this.#lane, entry.at, ids)) known.add(id);
      }
    }
    return known;
  }

  #took(entry: StoredEntry, bytes: number): void {
    const contiguous = entry.n === (this.#cache.at(-1)?.n ?? this.#handedN) + 1;
    this.#quota.add(this.#lane, bytes + entryOverheadBytes, entry.messages.length);
    this.#storedN = entry.n;
    if (!contiguous || this.#cacheBytes + bytes > cacheBytesMax) return;
    this.#cache.push(entry);
    this.#cacheBytes += entryBytes(entry);
  }

  async #load(): Promise<void> {
    const rows = await this.#database.values(
      "SELECT k, created, seq, messages, skip, body FROM inbox WHERE k > ? AND k < ? ORDER BY k LIMIT ?",
      [this.#lane * laneSpan + this.#handedN, (this.#lane + 1) * laneSpan, entriesPerRead],
    );
    for (const [k, created, seq, messages, skip, body] of rows) {
      const n = numberOf(k) - this.#lane * laneSpan;
      const entry = { n, created: String(created), seq: numberOf(seq) };
      const stored = { ...entry, messages: readStoredMessages(body, numberOf(messages), skip) };
      this.#cache.push(stored);
      this.#cacheBytes += entryBytes(stored);
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function entryBytes(entry: StoredEntry): number {
  return entry.messages.reduce((sum, message) => sum + (message?.body.length ?? 0), 0);
}

/** Ids of these messages by the time that they are remembered under: what was signed, else the broker's. */
function byTime({ at, signedAt }: IncomingEntry, messages: readonly (DownMessage | null)[]): [number, string[]][] {
  const times = new Map<number, string[]>();
  for (const message of messages) {
    if (message === null) continue;
    const time = signedAt?.get(message.id) ?? at;
    const ids = times.get(time);
    if (ids === undefined) times.set(time, [message.id]);
    else ids.push(message.id);
  }
  return [...times];
}
