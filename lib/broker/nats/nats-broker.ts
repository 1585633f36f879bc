import { type Bytes, hex } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import { entryBytesMax } from "#lib/limits";
import type { Log } from "#lib/log";
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
import { aboutOf, entryKey, heardSubject, keyParts, subjectOf } from "../subjects.ts";
import { isNatsError, natsError } from "./nats-faults.ts";
import { acquireNatsLease } from "./nats-leases.ts";
import { inboxPrefix, NatsLink } from "./nats-link.ts";
import { headerOf, NatsValues, type StoredMessage, valueOfMessage } from "./nats-values.ts";
import { NatsReaders } from "./readers.ts";
import { defaultSizes, destinationStream, type StreamSizes, streamSettings } from "./stream-settings.ts";
import { Streams } from "./streams.ts";

/** How the NATS broker is reached. */
export interface NatsBrokerOptions {
  /** `ws://` or `wss://` addresses of one cluster. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** Name of this connection in the server's monitoring. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Makes missing streams and sets differing ones right (Solaris). Default false: they are only checked (Nexus). */
  readonly provision?: boolean;
  /** Sizes of the streams; every program that checks must be given the same. */
  readonly sizes?: Partial<StreamSizes>;
  /** Copies of each stream in a cluster, 1 … 5. Default 1. */
  readonly replicas?: number;
  /** How long one request may take, ms. Default 5,000. */
  readonly requestTimeoutMs?: number;
}

const restoreDelayMs = 250;
const commandsMax = 100;
/** Room for headers beside an entry in one NATS message. */
const headerBytesMax = 4_096;

/** Connects, checks (or makes) the streams. Fault `broker` when nobody answers, `broker_settings` when they are not as they must be. */
export async function natsBroker(options: NatsBrokerOptions): Promise<Broker> {
  const link = await NatsLink.open({ ...options, requestTimeoutMs: options.requestTimeoutMs ?? 5_000 });
  try {
    if (link.payloadBytesMax < entryBytesMax + headerBytesMax)
      throw new Fault("broker_settings", `max_payload must be 4MB; the server has ${link.payloadBytesMax} bytes`);
    const sizes = { ...defaultSizes, ...options.sizes };
    const newLife = () => `${new Date(options.clock.now()).toISOString()}-${hex(options.random(4))}`;
    const streams = new Streams(link, streamSettings(sizes, options.replicas ?? 1), newLife);
    await streams.provision(options.provision ? "all" : "memory");
    await streams.check();
    return new NatsBroker(options, link, streams);
  } catch (error) {
    await link.close();
    throw error;
  }
}

class NatsBroker implements Broker {
  readonly #options: NatsBrokerOptions;
  readonly #link: NatsLink;
  readonly #streams: Streams;
  readonly #values: NatsValues;
  readonly #readers: NatsReaders;
  readonly #restored = new Set<() => void>();
  #closed: Promise<void> | undefined;

  constructor(options: NatsBrokerOptions, link: NatsLink, streams: Streams) {
    const { clock, random, log, user } = options;
    this.#options = options;
    this.#link = link;
    this.#streams = streams;
    this.#values = new NatsValues(link, clock, () => `${inboxPrefix(user)}.${hex(random(12))}`);
    this.#readers = new NatsReaders({ link, streams, user, clock, random, log });
    link.onChange((connected) => (connected ? void this.#restore() : this.#cut()));
  }

  async publish(to: Destination, bytes: Uint8Array, id: string): Promise<Receipt> {
    if (bytes.length > entryBytesMax) throw new Fault("too_large", "an entry is larger than its limit");
    const stream = destinationStream(to);
    const { created } = this.#streams.get(stream);
    const { seq, duplicate } = await this.#link.publish(stream, subjectOf(to), bytes, { id: entryKey(to, id) });
    this.#readers.saw(stream, seq);
    return { created, seq, duplicate };
  }

  async open(source: Source, options: OpenOptions): Promise<OpenSource> {
    if (this.#closed !== undefined) throw new Fault("closed", "the broker is closed");
    return this.#readers.open(source, options);
  }

  async commands(agent: string, after = 0): Promise<Entry[]> {
    const entries: Entry[] = [];
    const subject = subjectOf({ kind: "command", agent });
    const { created } = this.#streams.get("COMMANDS");
    for (let seq = after + 1; entries.length < commandsMax; seq = (entries.at(-1)?.seq ?? seq) + 1) {
      const message = await this.#next("COMMANDS", subject, seq);
      if (message === undefined) break;
      const { id } = keyParts(headerOf(message, "Nats-Msg-Id") ?? "");
      const { bytes, timeMs } = valueOfMessage(message);
      entries.push({ created, seq: message.seq, id, agent, plugin: "", timeMs, bytes });
    }
    return entries;
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
    this.#link.send(subjectOf(topic), bytes);
  }

  listen(to: Heard, hear: (bytes: Bytes, about: string) => void): Unlisten {
    return this.#link.subscribe(heardSubject(to), (message) => {
      hear(message.data.slice() as Bytes, aboutOf(message.subject)); // slice() copies into a buffer of its own
    });
  }

  acquire(lease: string, holder: string, termMs: number): Promise<Lease | undefined> {
    return acquireNatsLease(this.#values, this.#options.clock, lease, holder, termMs);
  }

  onRestored(act: () => void): Unlisten {
    const own = () => act();
    this.#restored.add(own);
    return () => this.#restored.delete(own);
  }

  async check(): Promise<void> {
    await this.#streams.check();
  }

  async usage(): Promise<Usage[]> {
    await this.#streams.check();
    return [...this.#streams.all()].map(([name, { bytes, bytesMax, refuses }]) => ({ name, bytes, bytesMax, refuses }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#readers.close();
    await this.#link.close();
  }

  async #next(stream: string, subject: string, seq: number): Promise<StoredMessage | undefined> {
    try {
      const request = { seq, next_by_subj: subject };
      return (await this.#link.api<{ message: StoredMessage }>(`STREAM.MSG.GET.${stream}`, request)).message;
    } catch (error) {
      if (isNatsError(error, natsError.messageNotFound)) return undefined;
      throw error;
    }
  }

  #cut(): void {
    this.#options.log.warn("the connection to NATS was cut");
    this.#readers.cut();
  }

  /** After a reconnect: streams are looked at again, each reader gets a new consumer, then presence is written. */
  async #restore(): Promise<void> {
    const lives = new Map([...this.#streams.all()].map(([name, { created }]) => [name, created]));
    while (this.#link.connected) {
      try {
        await this.#streams.provision(this.#options.provision ? "all" : "memory");
        await this.#streams.check();
        break;
      } catch (error) {
        this.#options.log.warn("the broker's streams are not there yet", { error });
        await new Promise<void>((resolve) => this.#options.clock.after(restoreDelayMs, resolve));
      }
    }
    if (!this.#link.connected) return;
    this.#readers.restore(lives);
    this.#options.log.info("the connection to NATS is back");
    for (const act of [...this.#restored]) act();
  }
}
