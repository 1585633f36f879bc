import type { Cancel, Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
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
import { heardSubject, queueOf, subjectOf } from "../subjects.ts";
import { type Limits, limitsOf } from "./embedded-limits.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { Entries } from "./entries.ts";
import { acquireLease } from "./leases.ts";
import { Mailbox } from "./mailbox.ts";
import { purge } from "./purge.ts";
import { Readers } from "./readers.ts";
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

const purgeIntervalMs = 30_000;

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

class EmbeddedBroker implements Broker {
  readonly #store: EmbeddedStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #created: string;
  readonly #mailbox: Mailbox;
  readonly #values: Values;
  readonly #limits: Limits;
  readonly #entries: Entries;
  readonly #readers: Readers;
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
    this.#entries = new Entries(store, options.clock, limits);
    this.#readers = new Readers(store, created, limits, options.log);
    this.#pollIntervalMs = options.pollIntervalMs ?? 100;
    this.#cancelPoll = this.#clock.after(this.#pollIntervalMs, () => this.#tick());
  }

  async publish(to: Destination, bytes: Uint8Array, id: string): Promise<Receipt> {
    this.#mustBeOpen();
    const created = this.#created;
    const queue = queueOf(to);
    const told = to.kind === "command" ? [this.#mailbox.statement(queue, bytes)] : [];
    const stored = await this.#entries.store(to, bytes, id, told);
    if (stored.duplicate) return { created, seq: stored.seq, duplicate: true };
    this.#readers.offer(queue, stored.entry, stored.before);
    if (to.kind === "command") this.#mailbox.deliver(queue, bytes);
    return { created, seq: stored.entry.seq, duplicate: false };
  }

  async open(source: Source, options: OpenOptions): Promise<OpenSource> {
    this.#mustBeOpen();
    const reader = await this.#readers.open(source, options);
    if (this.#closed === undefined) return reader;
    await reader.close();
    throw new Fault("closed", "the broker is closed");
  }

  commands(agent: string, after = 0): Promise<Entry[]> {
    return this.#entries.commands(agent, after, this.#created);
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
    const shared = (["up", "event"] as const).map((name) => ({
      name,
      bytes: queues.find((queue) => queue.name === name)?.bytes ?? 0, // no row before the first entry
      bytesMax: this.#limits[name],
      refuses: name === "up",
    }));
    return [{ name: "all", bytes: all?.bytes ?? 0, bytesMax: this.#limits.all, refuses: true }, ...shared];
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelPoll();
    await this.#readers.close();
    await this.#polling;
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
    if (state.openings > before.openings) await this.#readers.findDisplaced(before.openings);
    if (state.entries > before.entries) await this.#readers.wakeGrown(before.entries, state.entries);
    this.#seen = state;
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw new Fault("closed", "the broker is closed");
  }
}
