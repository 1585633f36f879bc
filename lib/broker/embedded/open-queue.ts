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

/** The next entries; bodies of as many as fit the room (bytes before an entry and its own, or the first alone), null for the others. */
const nextEntries = `
  WITH next AS (
    SELECT seq, size, sum(size) OVER (ORDER BY seq) - size AS before FROM (
      SELECT seq, size FROM entry WHERE queue = ? AND seq > ? AND body IS NOT NULL ORDER BY seq LIMIT ?))
  SELECT entry.seq, entry.key, entry.time,
    CASE WHEN next.before + next.size <= ? OR (next.before = 0 AND ?) THEN entry.body END AS body
  FROM next JOIN entry ON entry.seq = next.seq ORDER BY entry.seq`;

/** An entry that this process has just stored, and the newest waiting entry of its queue in front of it (0 = none). */
interface Offer {
  readonly row: StoredEntry;
  readonly before: number;
}

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
  /** The window has no room for what waits: a confirmation makes some. */
  #full = false;
  /** What was stored while this read. */
  #offers: Offer[] = [];
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

  /** Takes an entry that this process has just stored, without reading it again, when its turn is now or after what is being read. */
  offer(row: StoredEntry, before: number): void {
    if (this.#ended) return;
    if (!this.#reading) this.#takeOffer({ row, before });
    else if (this.#offers.length < readMax) this.#offers.push({ row, before });
    else this.#woken = true;
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
        await this.#readNext();
        for (const offer of this.#offers.splice(0)) this.#takeOffer(offer);
      }
    } catch (error) {
      this.end(this.#options.store.fault(error));
    } finally {
      this.#reading = false;
    }
  }

  async #readNext(): Promise<void> {
    const { delivered, empty } = this.#window;
    const room = this.#window.room();
    this.#full = room.count <= 0 || room.bytes <= 0;
    if (this.#full) return;
    this.#full = true; // what is confirmed while this reads makes more room
    const count = Math.min(readMax, room.count);
    const params = [this.#options.queue.id, delivered, count, room.bytes, empty];
    const rows = await this.#options.store.read<Omit<StoredEntry, "body"> & Partial<StoredEntry>>(nextEntries, params);
    if (this.#ended) return;
    const fitting = rows.filter((row): row is StoredEntry => row.body instanceof Uint8Array);
    this.#full = fitting.length < rows.length;
    if (rows.length === count && !this.#full) this.#woken = true; // there may be more
    for (const row of fitting) this.#deliver(row);
  }

  /** Delivers an entry that stands directly behind what was delivered; has it read in its turn otherwise. */
  #takeOffer({ row, before }: Offer): void {
    const { delivered } = this.#window;
    if (row.seq <= delivered || this.#ended) return;
    if (before <= delivered && this.#window.fits(row.body.length)) this.#deliver(row);
    else this.wake();
  }

  #deliver(row: StoredEntry): void {
    this.#window.add({ seq: row.seq, size: row.body.length });
    this.#options.onEntry(entryOf(row, this.created));
  }
}
