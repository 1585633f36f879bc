import type { Msg } from "nats.ws";
import { type Bytes, hex } from "#lib/bytes";
import type { Cancel, Clock, Random } from "#lib/clock";
import { resumePoint, streamLife } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import { entryBytesMax, laneUnconfirmedMax } from "#lib/limits";
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
import { aboutOf, entryKey, heardSubject, keyParts, queueOf, shardOf, sourceHash, subjectOf } from "../subjects.ts";
import { ackFacts } from "./ack-subject.ts";
import { Consumers, type ConsumerWish } from "./consumers.ts";
import { isNatsError, natsError } from "./nats-faults.ts";
import { acquireNatsLease } from "./nats-leases.ts";
import { inboxPrefix, NatsLink } from "./nats-link.ts";
import { displaced, NatsReader } from "./nats-reader.ts";
import { headerOf, NatsValues, type StoredMessage, valueOfMessage } from "./nats-values.ts";
import { defaultSizes, downStream, type StreamSizes, streamSettings } from "./stream-settings.ts";
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

const sweepIntervalMs = 5_000;
const restoreDelayMs = 250;
const commandsMax = 100;
const deletedAdvisory = "$JS.EVENT.ADVISORY.CONSUMER.DELETED";
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
  readonly #consumers: Consumers;
  readonly #values: NatsValues;
  readonly #inbox: string;
  /** Readers by number (statuses of pulls), by consumer (messages) and by source (takeover in this process). */
  readonly #byNumber = new Map<number, NatsReader>();
  readonly #byConsumer = new Map<string, NatsReader>();
  readonly #bySource = new Map<string, NatsReader>();
  readonly #restored = new Set<() => void>();
  /** Sequences known to be given out, per stream: a cursor at or below needs no question. */
  readonly #lastSeqs = new Map<string, number>();
  #numbers = 0;
  #cancelSweep: Cancel;
  #closed: Promise<void> | undefined;

  constructor(options: NatsBrokerOptions, link: NatsLink, streams: Streams) {
    this.#options = options;
    this.#link = link;
    this.#streams = streams;
    this.#consumers = new Consumers(link, options.random);
    this.#values = new NatsValues(link, options.clock, () => `${this.#inbox}-${hex(options.random(12))}`);
    this.#inbox = `${inboxPrefix(options.user)}.${hex(options.random(12))}`;
    link.subscribe(`${this.#inbox}.>`, (message) => this.#took(message));
    link.subscribe(`${deletedAdvisory}.*.*`, ({ subject }) => {
      const consumer = subject.split(".").at(-1) ?? "";
      this.#byConsumer.get(consumer)?.consumerDeleted(consumer);
    });
    link.onChange((connected) => (connected ? void this.#restore() : this.#cut()));
    this.#cancelSweep = options.clock.after(sweepIntervalMs, () => this.#sweep());
  }

  async publish(to: Destination, bytes: Uint8Array, id: string): Promise<Receipt> {
    if (bytes.length > entryBytesMax) throw new Fault("too_large", "an entry is larger than its limit");
    const stream = destinationStream(to);
    const { created } = this.#streams.get(stream);
    const { seq, duplicate } = await this.#link.publish(stream, subjectOf(to), bytes, { id: entryKey(to, id) });
    this.#saw(stream, seq);
    return { created, seq, duplicate };
  }

  async open(source: Source, options: OpenOptions): Promise<OpenSource> {
    if (this.#closed !== undefined) throw new Fault("closed", "the broker is closed");
    const stream = sourceStream(source);
    const life = this.#streams.get(stream).created;
    const lastSeq = await this.#lastSeq(stream, life, options);
    const unique = () => hex(this.#options.random(4));
    const { created, from } = resumePoint(options.cursor, { created: life, lastSeq }, unique);
    const wish: ConsumerWish = {
      stream,
      filter: subjectOf(source),
      prefix: source.kind === "event" ? `event-${unique()}` : sourceHash(source),
      unconfirmedMax: options.unconfirmedMax ?? laneUnconfirmedMax,
      startSeq: source.kind === "event" ? from + 1 : undefined,
    };
    return this.#start(wish, source.kind === "event" ? wish.prefix : queueOf(source), created, from, options);
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
    return [...this.#streams.all()].map(([name, { bytes, bytesMax }]) => ({ name, bytes, bytesMax }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelSweep();
    const readers = [...this.#byNumber.values()];
    for (const reader of readers) reader.end(new Fault("closed", "the broker is closed"));
    await Promise.all(readers.map((reader) => reader.close()));
    await this.#link.close();
  }

  async #start(
    wish: ConsumerWish,
    name: string,
    created: string,
    from: number,
    options: OpenOptions,
  ): Promise<OpenSource> {
    this.#numbers += 1;
    const number = this.#numbers;
    const routes = new Set<string>();
    const reader: NatsReader = new NatsReader(wish, created, from, options, {
      link: this.#link,
      consumers: this.#consumers,
      clock: this.#options.clock,
      log: this.#options.log,
      inbox: `${this.#inbox}.${number}`,
      route: (consumer) => {
        for (const old of routes) this.#byConsumer.delete(old);
        routes.clear();
        routes.add(consumer);
        this.#byConsumer.set(consumer, reader);
      },
      onGone: () => {
        this.#byNumber.delete(number);
        for (const old of routes) this.#byConsumer.delete(old);
        if (this.#bySource.get(name) === reader) this.#bySource.delete(name);
      },
    });
    this.#byNumber.set(number, reader);
    const rival = this.#bySource.get(name);
    this.#bySource.set(name, reader);
    rival?.end(displaced());
    try {
      await reader.start();
      return reader;
    } catch (error) {
      await reader.close();
      throw asFault(error, "broker");
    }
  }

  /** At least the cursor's sequence, or what the stream says it has given out. */
  async #lastSeq(stream: string, life: string, { cursor }: OpenOptions): Promise<number> {
    const known = Math.max(this.#lastSeqs.get(stream) ?? 0, this.#streams.get(stream).lastSeq);
    if (cursor === undefined || streamLife(cursor.created) !== life || cursor.seq <= known) return known;
    const lastSeq = await this.#streams.lastSeq(stream);
    this.#saw(stream, lastSeq);
    return lastSeq;
  }

  #saw(stream: string, seq: number): void {
    if (seq > (this.#lastSeqs.get(stream) ?? 0)) this.#lastSeqs.set(stream, seq);
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

  /** Messages come on the stream's subject and name their consumer; statuses come on the pull's reply subject. */
  #took(message: Msg): void {
    const status = message.headers?.code ?? 0;
    if (status > 0 && message.subject.startsWith(this.#inbox)) {
      const [number, pull] = message.subject.slice(this.#inbox.length + 1).split(".");
      this.#byNumber.get(Number(number))?.tookStatus(Number(pull), status, message.headers?.description ?? "");
      return;
    }
    const consumer = message.reply === undefined ? undefined : ackFacts(message.reply)?.consumer;
    if (consumer !== undefined) this.#byConsumer.get(consumer)?.took(message);
  }

  #sweep(): void {
    for (const reader of this.#byNumber.values()) reader.checkPull();
    if (this.#closed === undefined) this.#cancelSweep = this.#options.clock.after(sweepIntervalMs, () => this.#sweep());
  }

  #cut(): void {
    this.#options.log.warn("the connection to NATS was cut");
    for (const reader of this.#byNumber.values()) reader.cut();
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
    this.#lastSeqs.clear();
    for (const reader of [...this.#byNumber.values()]) {
      const now = this.#streams.get(reader.stream).created;
      if (lives.get(reader.stream) === now) reader.restore();
      else reader.end(new Fault("broker", "the stream was replaced"));
    }
    this.#options.log.info("the connection to NATS is back");
    for (const act of [...this.#restored]) act();
  }
}

function destinationStream(to: Destination): string {
  if (to.kind === "down") return downStream(shardOf(to.agent));
  return { up: "UP", event: "EVENTS", command: "COMMANDS" }[to.kind];
}

function sourceStream(source: Source): string {
  if (source.kind === "down") return downStream(shardOf(source.agent));
  return { up: "UP", event: "EVENTS" }[source.kind];
}
