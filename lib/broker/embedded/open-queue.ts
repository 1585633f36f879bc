import { Fault } from "#lib/fault";
import { laneUnconfirmedBytesMax, laneUnconfirmedMax } from "#lib/limits";
import type { Database } from "#lib/runtime";
import type { Entry, OpenOptions, OpenSource } from "../broker.ts";
import { keyParts } from "../subjects.ts";
import type { EmbeddedStore } from "./embedded-store.ts";

/** Entries read at once. */
const readMax = 64;

interface Row {
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
  readonly database: Database;
  readonly store: EmbeddedStore;
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
  #written = 0;
  #reading = false;
  #woken = false;
  #ended = false;
  #writing: Promise<void> = Promise.resolve();
  #writePending = false;

  constructor(options: OpenQueueOptions) {
    this.#options = options;
    this.created = options.created;
    this.name = options.queue.name;
    this.opening = options.queue.opening;
    this.#delivered = options.from;
    if (options.from > 0) this.confirm(options.from);
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
    let first = this.#unconfirmed[0];
    while (first !== undefined && first.seq <= seq) {
      this.#unconfirmed.shift();
      this.#unconfirmedBytes -= first.size;
      first = this.#unconfirmed[0];
    }
    if (this.#options.consumes) this.#write();
    this.wake();
  }

  async close(): Promise<void> {
    this.#leave();
    await this.#writing;
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

  async #next(): Promise<Row[]> {
    const { unconfirmedMax = laneUnconfirmedMax, unconfirmedBytesMax = laneUnconfirmedBytesMax } = this.#options;
    const count = Math.min(readMax, unconfirmedMax - this.#unconfirmed.length);
    const room = unconfirmedBytesMax - this.#unconfirmedBytes;
    if (count <= 0 || room <= 0) return [];
    const params = [this.#options.queue.id, this.#delivered, count, room, this.#unconfirmed.length === 0];
    return this.#options.database.read<Row>(nextEntries, params);
  }

  #deliver(row: Row): void {
    this.#delivered = row.seq;
    this.#unconfirmed.push({ seq: row.seq, size: row.body.length });
    this.#unconfirmedBytes += row.body.length;
    const entry: Entry = {
      created: this.created,
      seq: row.seq,
      ...keyParts(row.key),
      timeMs: row.time,
      bytes: row.body,
    };
    this.#options.onEntry(entry);
  }

  /** One confirmation of this queue is written at a time; what came meanwhile goes in the next. */
  #write(): void {
    if (this.#writePending) return;
    this.#writePending = true;
    this.#writing = this.#writing.then(async () => {
      this.#writePending = false;
      const through = this.#confirmed;
      if (through <= this.#written) return;
      try {
        await this.#options.store.takeOut(this.#options.queue.id, through);
        this.#written = through;
      } catch (error) {
        // The entries come again at or below the reader's cursor and are confirmed then; the window must not grow on.
        this.end(this.#options.store.fault(error));
      }
    });
  }
}
