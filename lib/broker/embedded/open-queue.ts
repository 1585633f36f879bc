import type { Fault } from "#lib/fault";
import type { OpenOptions, OpenSource } from "../broker.ts";
import { type Unconfirmed, Window } from "../window.ts";
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
  readonly #window: Window<Unconfirmed>;
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
    this.#window = new Window(options.from, options);
  }

  /** There may be something to read. */
  wake(): void {
    this.#woken = true;
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    void this.#pump();
  }

  confirm(seq: number): void {
    const taken = this.#window.confirm(seq);
    if (this.#options.consumes) this.#options.confirmations.add(taken.map((entry) => entry.seq));
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
    const { delivered } = this.#window;
    if (!busy && before <= delivered && row.seq > delivered && this.#window.fits(row.body.length)) this.#deliver(row);
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
    const { delivered, empty } = this.#window;
    const room = this.#window.room();
    this.#full = room.count <= 0 || room.bytes <= 0;
    if (this.#full) return [];
    const params = [this.#options.queue.id, delivered, Math.min(readMax, room.count), room.bytes, empty];
    // The next one may be larger than the room, and what is confirmed while this reads makes more of it: said before, not after.
    this.#full = !empty;
    return this.#options.store.read<StoredEntry>(nextEntries, params);
  }

  #deliver(row: StoredEntry): void {
    this.#window.add({ seq: row.seq, size: row.body.length });
    this.#options.onEntry(entryOf(row, this.created));
  }
}
