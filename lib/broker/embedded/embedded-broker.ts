import type { Cancel, Clock } from "#lib/clock";
import { resumePoint } from "#lib/delivery";
import { Fault } from "#lib/fault";
import { entryBytesMax } from "#lib/limits";
import type { Log } from "#lib/log";
import type { Database } from "#lib/runtime";
import type {
  Broker,
  Destination,
  Entry,
  Heard,
  Lease,
  OpenOptions,
  OpenSource,
  Receipt,
  Source,
  Topic,
  Unlisten,
  Usage,
  Value,
  ValueName,
} from "../broker.ts";
import { commandLifeMs } from "../lifetimes.ts";
import { entryKey, heardSubject, keyParts, queueOf, subjectOf } from "../subjects.ts";
import { Confirmations } from "./confirmations.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { acquireLease } from "./leases.ts";
import { Mailbox } from "./mailbox.ts";
import { OpenQueue } from "./open-queue.ts";
import { purge } from "./purge.ts";
import { Values } from "./values.ts";

/** How the embedded broker is made. Sizes in bytes. */
export interface EmbeddedBrokerOptions {
  /** Its own file (`broker.db`), migrated with `migrations/broker`; disposed by whoever opened it, after the broker. */
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Unconfirmed bytes of one down lane. Default 256 MiB. */
  readonly laneBytesMax?: number;
  /** Unconfirmed bytes of all up lanes. Default 1 GiB. */
  readonly upBytesMax?: number;
  /** Events beyond this are forgotten, the oldest first. Default 512 MiB. */
  readonly eventBytesMax?: number;
  /** Bytes of everything that waits. Default 4 GiB. */
  readonly bytesMax?: number;
  /** How often the file is asked for what other processes wrote, ms. Default 100. */
  readonly pollIntervalMs?: number;
}

const mebibyte = 1024 * 1024;
const commandBytesMax = 8 * mebibyte;
const purgeIntervalMs = 30_000;
const commandsMax = 100;
const queueIdsMax = 100_000;

/** What the poll asks: has anything changed since. */
interface State {
  readonly entries: number;
  readonly messages: number;
  readonly openings: number;
}

const stateSql = `SELECT openings,
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0) AS entries,
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) AS messages FROM stream`;

/** The broker of one machine, in one encrypted file; several processes may share it. Fault `broker` when the file does not answer. */
export async function embeddedBroker(options: EmbeddedBrokerOptions): Promise<Broker> {
  const store = new EmbeddedStore(options.database);
  const created = `${new Date(options.clock.now()).toISOString()}-${crypto.randomUUID().slice(0, 8)}`;
  const limits = limitsOf(options);
  await store.write([
    { sql: "INSERT OR IGNORE INTO stream (one, created, bytes_max) VALUES (1, ?, 0)", params: [created] },
    { sql: "UPDATE stream SET bytes_max = ?", params: [limits.all] },
    { sql: "UPDATE queue SET bytes_max = ? WHERE name LIKE 'down.%'", params: [limits.down] },
    { sql: "UPDATE queue SET bytes_max = ? WHERE name = 'up'", params: [limits.up] },
  ]);
  const [row] = await store.read<{ created: string }>("SELECT created FROM stream");
  const [state] = await store.read<State>(stateSql);
  if (row === undefined || state === undefined) throw new Fault("broker", "the broker's file holds no stream");
  return new EmbeddedBroker(options, limits, store, row.created, state);
}

/** Bytes that may wait in a queue of each kind. */
interface Limits {
  readonly down: number;
  readonly up: number;
  /** Events are trimmed by the purge instead of refused. */
  readonly event: number;
  readonly command: number;
  readonly all: number;
}

function limitsOf(options: EmbeddedBrokerOptions): Limits {
  return {
    down: options.laneBytesMax ?? 256 * mebibyte,
    up: options.upBytesMax ?? 1024 * mebibyte,
    event: options.eventBytesMax ?? 512 * mebibyte,
    command: commandBytesMax,
    all: options.bytesMax ?? 4096 * mebibyte,
  };
}

class EmbeddedBroker implements Broker {
  readonly #store: EmbeddedStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #created: string;
  readonly #mailbox: Mailbox;
  readonly #values: Values;
  readonly #limits: Limits;
  readonly #confirmations: Confirmations;
  /** Ids of queues by name, as far as this process has met them. */
  readonly #queueIds = new Map<string, number>();
  /** Open sources of this process by queue. */
  readonly #open = new Map<string, OpenQueue>();
  readonly #pollIntervalMs: number;
  #seen: State;
  #cancelPoll: Cancel;
  #purgedAt = 0;
  #closed: Promise<void> | undefined;
  #polling: Promise<void> = Promise.resolve();
  #failing = false;
  readonly #restored = new Set<() => void>();

  constructor(options: EmbeddedBrokerOptions, limits: Limits, store: EmbeddedStore, created: string, state: State) {
    this.#store = store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#created = created;
    this.#seen = state;
    this.#mailbox = new Mailbox(store, options.clock, crypto.randomUUID(), state.messages);
    this.#values = new Values(store, options.clock, this.#mailbox);
    this.#limits = limits;
    this.#confirmations = new Confirmations(store, options.log);
    this.#pollIntervalMs = options.pollIntervalMs ?? 100;
    this.#cancelPoll = this.#clock.after(this.#pollIntervalMs, () => this.#tick());
  }

  async publish(to: Destination, bytes: Uint8Array, id: string): Promise<Receipt> {
    this.#mustBeOpen();
    if (bytes.length > entryBytesMax) throw new Fault("too_large", "an entry is larger than its limit");
    const queue = queueOf(to);
    const key = entryKey(to, id);
    try {
      const queueId = await this.#queueId(queue, this.#bytesMaxOf(to.kind));
      const time = this.#clock.now();
      const results = await this.#store.write([
        {
          sql: "SELECT coalesce(max(seq), 0) AS seq FROM entry WHERE queue = ? AND body IS NOT NULL",
          params: [queueId],
        },
        {
          sql: "INSERT INTO entry (queue, key, time, size, body) VALUES (?, ?, ?, ?, ?) RETURNING seq",
          params: [queueId, key, time, bytes.length, bytes],
        },
        ...(to.kind === "command" ? [this.#mailbox.statement(queue, bytes)] : []),
      ]);
      const before = results[0]?.rows[0]?.seq;
      const seq = results[1]?.rows[0]?.seq;
      if (typeof before !== "number" || typeof seq !== "number") throw new TypeError("a stored entry has a sequence");
      this.#open.get(queue)?.offer({ seq, key, time, body: bytes.slice() }, before);
      if (to.kind === "command") this.#mailbox.deliver(queue, bytes);
      return { created: this.#created, seq, duplicate: false };
    } catch (error) {
      return this.#notStored(error, queue, key);
    }
  }

  async open(source: Source, options: OpenOptions): Promise<OpenSource> {
    this.#mustBeOpen();
    const name = queueOf(source);
    const results = await this.#store.write([
      createQueue(name, this.#bytesMaxOf(source.kind)),
      { sql: "UPDATE stream SET openings = openings + 1" },
      { sql: "UPDATE queue SET opening = opening + 1 WHERE name = ? RETURNING id, opening", params: [name] },
      { sql: "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0) AS last" },
    ]);
    const { id, opening } = results[2]?.rows[0] ?? {};
    const lastSeq = results[3]?.rows[0]?.last;
    if (typeof id !== "number" || typeof opening !== "number" || typeof lastSeq !== "number")
      throw new TypeError("an opened queue has an id and a number");
    this.#mustBeOpen();
    const rival = this.#open.get(name);
    if (rival !== undefined && rival.opening > opening) throw displaced();
    rival?.end(displaced());
    const unique = () => crypto.randomUUID().slice(0, 8);
    const { created, from } = resumePoint(options.cursor, { created: this.#created, lastSeq }, unique);
    const reader: OpenQueue = new OpenQueue({
      ...options,
      store: this.#store,
      confirmations: this.#confirmations,
      queue: { name, id, opening },
      created,
      from,
      consumes: source.kind !== "event",
      onGone: () => {
        if (this.#open.get(name) === reader) this.#open.delete(name);
      },
    });
    this.#open.set(name, reader);
    if (from > 0 && source.kind !== "event") await this.#store.takeOut(id, from);
    reader.wake();
    return reader;
  }

  async commands(agent: string, after = 0): Promise<Entry[]> {
    const rows = await this.#store.read<{ seq: number; key: string; time: number; body: Uint8Array<ArrayBuffer> }>(
      `SELECT seq, key, time, body FROM entry WHERE queue = (SELECT id FROM queue WHERE name = ?)
        AND seq > ? AND body IS NOT NULL AND time > ? ORDER BY seq LIMIT ?`,
      [queueOf({ kind: "command", agent }), after, this.#clock.now() - commandLifeMs, commandsMax],
    );
    return rows.map(({ seq, key, time, body }) => ({
      created: this.#created,
      seq,
      ...keyParts(key),
      timeMs: time,
      bytes: body,
    }));
  }

  get(name: ValueName): Promise<Value | undefined> {
    return this.#values.get(name);
  }

  list(kind: "node" | "agent"): Promise<{ name: ValueName; value: Value }[]> {
    return this.#values.list(kind);
  }

  put(name: ValueName, bytes: Uint8Array, options: { readonly expect?: number } = {}): Promise<number> {
    return this.#values.put(name, bytes, options.expect);
  }

  remove(name: ValueName, options: { readonly expect?: number } = {}): Promise<void> {
    return this.#values.remove(name, options.expect);
  }

  send(topic: Topic, bytes: Uint8Array): void {
    const subject = subjectOf(topic);
    this.#mailbox.deliver(subject, bytes);
    this.#store.write([this.#mailbox.statement(subject, bytes)]).catch((error: unknown) => {
      // At most once is the promise of a plain message; whoever missed it finds out by reading.
      this.#log.warn("a plain message was lost", { error });
    });
  }

  listen(to: Heard, hear: (bytes: Uint8Array<ArrayBuffer>, about: string) => void): Unlisten {
    return this.#mailbox.listen(heardSubject(to), hear);
  }

  acquire(lease: string, holder: string, termMs: number): Promise<Lease | undefined> {
    return acquireLease(this.#store, this.#clock, lease, holder, termMs);
  }

  onRestored(act: () => void): Unlisten {
    const own = () => act();
    this.#restored.add(own);
    return () => this.#restored.delete(own);
  }

  async check(): Promise<void> {
    this.#mustBeOpen();
    const [row] = await this.#store.read<{ created: string }>("SELECT created FROM stream");
    if (row?.created !== this.#created) throw new Fault("broker_settings", "the broker's file was replaced");
  }

  async usage(): Promise<Usage[]> {
    const [all] = await this.#store.read<{ bytes: number }>("SELECT bytes FROM stream");
    const queues = await this.#store.read<{ name: string; bytes: number }>(
      "SELECT name, bytes FROM queue WHERE name IN ('up', 'event')",
    );
    const shared = queues.map(({ name, bytes }) => ({
      name,
      bytes,
      bytesMax: name === "up" ? this.#limits.up : this.#limits.event,
    }));
    return [{ name: "all", bytes: all?.bytes ?? 0, bytesMax: this.#limits.all }, ...shared];
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelPoll();
    const closing = [...this.#open.values()].map((reader) => {
      reader.end(new Fault("closed", "the broker is closed"));
      return reader.close();
    });
    await Promise.all([...closing, this.#polling, this.#confirmations.written()]);
  }

  #bytesMaxOf(kind: Destination["kind"]): number {
    return kind === "event" ? Number.MAX_SAFE_INTEGER : this.#limits[kind];
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

  /** Why a publish failed: the quota of its lane, of all, or because the entry is there already. */
  async #notStored(error: unknown, queue: string, key: string): Promise<Receipt> {
    if (!(error instanceof Fault && error.code === "conflict")) throw error;
    const { constraint } = error.detail;
    const known = await this.#store.read<{ seq: number }>(
      "SELECT seq FROM entry WHERE queue = (SELECT id FROM queue WHERE name = ?) AND key = ?",
      [queue, key],
    );
    const [first] = known;
    if (first !== undefined) return { created: this.#created, seq: first.seq, duplicate: true };
    if (constraint !== "queue_full" && constraint !== "stream_full")
      throw new Fault("broker", "the broker's file refused an entry", { cause: error });
    const limit = constraint === "queue_full" && queue !== "up" ? "lane" : "broker";
    throw new Fault("lane_full", undefined, { detail: { limit } });
  }

  #tick(): void {
    this.#polling = this.#poll();
  }

  async #poll(): Promise<void> {
    try {
      await this.#readChanges();
      if (this.#clock.now() - this.#purgedAt >= purgeIntervalMs) {
        this.#purgedAt = this.#clock.now();
        await purge(this.#store, this.#clock, this.#limits.event);
      }
      if (this.#failing) for (const act of [...this.#restored]) act();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && this.#closed === undefined) this.#log.warn("the broker's file did not answer", { error });
      this.#failing = true;
    }
    if (this.#closed === undefined) this.#cancelPoll = this.#clock.after(this.#pollIntervalMs, () => this.#tick());
  }

  async #readChanges(): Promise<void> {
    const [state] = await this.#store.read<State>(stateSql);
    if (state === undefined) return;
    const before = this.#seen;
    await this.#mailbox.poll(state.messages);
    if (state.openings > before.openings) await this.#findDisplaced();
    if (state.entries > before.entries && this.#open.size > 0) await this.#wakeGrown(before.entries, state.entries);
    this.#seen = state;
  }

  async #findDisplaced(): Promise<void> {
    for (const reader of [...this.#open.values()]) {
      const [row] = await this.#store.read<{ opening: number }>("SELECT opening FROM queue WHERE name = ?", [
        reader.name,
      ]);
      if (row !== undefined && row.opening > reader.opening) reader.end(displaced());
    }
  }

  async #wakeGrown(from: number, to: number): Promise<void> {
    const rows = await this.#store.read<{ name: string }>(
      "SELECT name FROM queue WHERE id IN (SELECT queue FROM entry WHERE seq > ? AND seq <= ?)",
      [from, to],
    );
    for (const { name } of rows) this.#open.get(name)?.wake();
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw new Fault("closed", "the broker is closed");
  }
}

function createQueue(name: string, bytesMax: number) {
  const sql = "INSERT INTO queue (name, bytes_max) VALUES (?, ?) ON CONFLICT (name) DO NOTHING";
  return { sql, params: [name, bytesMax] };
}

function displaced(): Fault {
  return new Fault("displaced", "this lane was opened elsewhere");
}
