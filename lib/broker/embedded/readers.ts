import { resumePoint } from "#lib/delivery";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { OpenOptions, Source } from "../broker.ts";
import { queueOf } from "../subjects.ts";
import { Confirmations } from "./confirmations.ts";
import { type Limits, refusingBytesMax } from "./embedded-limits.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { createQueue } from "./entries.ts";
import { OpenQueue, type StoredEntry } from "./open-queue.ts";

interface Opening {
  readonly id: number;
  /** Number of this opening over all queues; 0 for events, which anyone may read. */
  readonly opening: number;
  readonly lastSeq: number;
}

/** The sources that this process has open. */
export class Readers {
  readonly #store: EmbeddedStore;
  readonly #created: string;
  readonly #limits: Limits;
  readonly #confirmations: Confirmations;
  /** By queue; events may have several readers, every other queue has one. */
  readonly #open = new Map<string, Set<OpenQueue>>();

  constructor(store: EmbeddedStore, created: string, limits: Limits, log: Log) {
    this.#store = store;
    this.#created = created;
    this.#limits = limits;
    this.#confirmations = new Confirmations(store, log);
  }

  /** Takes a source over from whoever has it. */
  async open(source: Source, options: OpenOptions): Promise<OpenQueue> {
    const name = queueOf(source);
    const consumes = source.kind !== "event";
    const { id, opening, lastSeq } = await this.#number(name, source);
    const rivals = consumes ? [...(this.#open.get(name) ?? [])] : [];
    if (rivals.some((rival) => rival.opening > opening)) throw displaced();
    for (const rival of rivals) rival.end(displaced());
    const unique = () => crypto.randomUUID().slice(0, 8);
    const { created, from } = resumePoint(options.cursor, { created: this.#created, lastSeq }, unique);
    const reader: OpenQueue = new OpenQueue({
      ...options,
      store: this.#store,
      confirmations: this.#confirmations,
      queue: { name, id, opening },
      created,
      from,
      consumes,
      onGone: () => this.#forget(name, reader),
    });
    const readers = this.#open.get(name) ?? new Set();
    this.#open.set(name, readers.add(reader));
    if (from > 0 && consumes) await this.#store.takeOut(id, from);
    reader.wake();
    return reader;
  }

  /** Hands what this process has just stored to who reads the queue here. */
  offer(queue: string, entry: StoredEntry, before: number): void {
    for (const reader of this.#open.get(queue) ?? []) reader.offer(entry, before);
  }

  /** Wakes who reads a queue that has grown between two sequences. */
  async wakeGrown(from: number, to: number): Promise<void> {
    if (this.#open.size === 0) return;
    const rows = await this.#store.read<{ name: string }>(
      "SELECT name FROM queue WHERE id IN (SELECT queue FROM entry WHERE seq > ? AND seq <= ?)",
      [from, to],
    );
    for (const { name } of rows) for (const reader of this.#open.get(name) ?? []) reader.wake();
  }

  /** Ends whose queue was opened elsewhere after opening number `since`. */
  async findDisplaced(since: number): Promise<void> {
    if (this.#open.size === 0) return;
    const rows = await this.#store.read<{ name: string; opening: number }>(
      "SELECT name, opening FROM queue WHERE opening > ?",
      [since],
    );
    for (const { name, opening } of rows)
      for (const reader of [...(this.#open.get(name) ?? [])]) if (opening > reader.opening) reader.end(displaced());
  }

  /** Ends all; resolves when their confirmations are written. */
  async close(): Promise<void> {
    for (const readers of [...this.#open.values()])
      for (const reader of [...readers]) reader.end(new Fault("closed", "the broker is closed"));
    await this.#confirmations.written();
  }

  async #number(name: string, source: Source): Promise<Opening> {
    const number = [
      { sql: "UPDATE stream SET openings = openings + 1" },
      { sql: "UPDATE queue SET opening = (SELECT openings FROM stream) WHERE name = ?", params: [name] },
    ];
    const results = await this.#store.write([
      createQueue(name, refusingBytesMax(this.#limits, source.kind)),
      ...(source.kind === "event" ? [] : number),
      {
        sql: `SELECT id, opening, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0) AS lastSeq
          FROM queue WHERE name = ?`,
        params: [name],
      },
    ]);
    const { id, opening, lastSeq } = results.at(-1)?.rows[0] ?? {};
    if (typeof id !== "number" || typeof opening !== "number" || typeof lastSeq !== "number")
      throw new TypeError("an opened queue has an id and a number");
    return { id, opening, lastSeq };
  }

  #forget(name: string, reader: OpenQueue): void {
    const readers = this.#open.get(name);
    readers?.delete(reader);
    if (readers?.size === 0) this.#open.delete(name);
  }
}

function displaced(): Fault {
  return new Fault("displaced", "this lane was opened elsewhere");
}
