import { Fault } from "#lib/fault";
import { laneUnconfirmedBytesMax, laneUnconfirmedMax } from "#lib/limits";
import type { OpenOptions, OpenSource } from "../broker.ts";
import type { Confirmations } from "./confirmations.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { entryOf } from "./entries.ts";

/** Entries read at once. */
const readMax = 64;

/** One row of the table. */
export interface StoredEntry {
  readonly seq: number;
  readonly key: string;
  readonly time: number;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** As many of the next entries as fit the room: bytes before an entry and its own, or the first alone. */
const nextEntries = `
  WITH next AS (
    SELECT seq, size, sum(size) OVER (ORDER BY seq) - size AS before FROM (
      SELECT seq, size FROM entry WHERE queue = ? AND seq > ? AND body IS NOT NULL ORDER BY seq LIMIT ?))
  SELECT entry.seq, entry.key, entry.time, entry.body FROM next JOIN entry ON entry.seq = next.seq
  WHERE next.before + next.size <= ? OR (next.before = 0 AND ?) ORDER BY entry.seq`;

/** What a reader of one queue needs. */
export interface OpenQueueOptions extends OpenOptions {
  readonly store: EmbeddedStore;
  readonly confirmations: Confirmations;
  readonly queue: { readonly name: string; readonly id: number; readonly opening: number };
  readonly created: string;
  /** Entries through this were stored by the reader before. */
  readonly from: number;
  /** Whether a confirmed entry is taken out (false for events, which are kept by age). */
  readonly consumes: boolean;
  /** Told once, when it no longer reads. */
  onGone(): void;
}

/** One open queue: reads on when woken and while its reader's window has room. */
export class OpenQueue implements OpenSource {
  readonly created: string;
  readonly name: string;
  readonly opening: number;
  readonly #options: OpenQueueOptions;
  readonly #unconfirmed: { seq: number; size: number }[] = [];
  #unconfirmedBytes = 0;
  #delivered: number;
  #confirmed = 0;
  #reading = false;
  #woken = false;
  /** The window has no room: a confirmation makes some. */
  #full = false;
  #ended = false;

  constructor(options: OpenQueueOptions) {
    this.#options = options;
    this.created = options.created;
    this.name = options.queue.name;
    this.opening = options.queue.opening;
    this.#delivered = options.from;
    this.#confirmed = options.from;
  }

  /** Everything up to here was delivered. */
  get delivered(): number {
    return this.#delivered;
  }

  /** There may be something to read. */
  wake(): void {
    this.#woken = true;
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    void this.#pump();
  }

  confirm(seq: number): void {
    if (seq <= this.#confirmed) return;
    if (seq > this.#delivered) throw new Fault("bad_request", "confirmed what was not delivered");
    this.#confirmed = seq;
    const taken: number[] = [];
    let first = this.#unconfirmed[0];
    while (first !== undefined && first.seq <= seq) {
      this.#unconfirmed.shift();
      this.#unconfirmedBytes -= first.size;
      taken.push(first.seq);
      first = this.#unconfirmed[0];
    }
    if (this.#options.consumes) this.#options.confirmations.add(taken);
    if (this.#full) this.wake();
  }

  async close(): Promise<void> {
    this.#leave();
    await this.#options.confirmations.written();
  }

  /**
   * Takes an entry that this process has just stored, without reading it again. `before` is the newest waiting entry of the queue
   * in front of it; when that was not delivered yet, the entry must wait for its turn.
   */
  offer(row: StoredEntry, before: number): void {
    const busy = this.#reading || this.#ended;
    if (!busy && before <= this.#delivered && row.seq > this.#delivered && this.#hasRoomFor(row.body.length))
      this.#deliver(row);
    else this.wake();
  }

  /** The broker's side ends it. */
  end(fault: Fault): void {
    if (this.#ended) return;
    this.#leave();
    this.#options.onClosed(fault);
  }

  #leave(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onGone();
  }

  async #pump(): Promise<void> {
    try {
      while (this.#woken && !this.#ended) {
        this.#woken = false;
        const rows = await this.#next();
        if (this.#ended) return;
        for (const row of rows) this.#deliver(row);
        if (rows.length > 0) this.#woken = true;
      }
    } catch (error) {
      this.end(this.#options.store.fault(error));
    } finally {
      this.#reading = false;
    }
  }

  async #next(): Promise<StoredEntry[]> {
    const { unconfirmedMax = laneUnconfirmedMax, unconfirmedBytesMax = laneUnconfirmedBytesMax } = this.#options;
    const count = Math.min(readMax, unconfirmedMax - this.#unconfirmed.length);
    const room = unconfirmedBytesMax - this.#unconfirmedBytes;
    this.#full = count <= 0 || room <= 0;
    if (this.#full) return [];
    const params = [this.#options.queue.id, this.#delivered, count, room, this.#unconfirmed.length === 0];
    // The next one may be larger than the room, and what is confirmed while this reads makes more of it: said before, not after.
    this.#full = this.#unconfirmed.length > 0;
    return this.#options.store.read<StoredEntry>(nextEntries, params);
  }

  #hasRoomFor(size: number): boolean {
    const { unconfirmedMax = laneUnconfirmedMax, unconfirmedBytesMax = laneUnconfirmedBytesMax } = this.#options;
    if (this.#unconfirmed.length === 0) return true;
    return this.#unconfirmed.length < unconfirmedMax && this.#unconfirmedBytes + size <= unconfirmedBytesMax;
  }

  #deliver(row: StoredEntry): void {
    this.#delivered = row.seq;
    this.#unconfirmed.push({ seq: row.seq, size: row.body.length });
    this.#unconfirmedBytes += row.body.length;
    this.#options.onEntry(entryOf(row, this.created));
  }
}
