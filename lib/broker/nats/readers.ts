import type { Msg } from "nats.ws";
import { hex } from "#lib/bytes";
import type { Cancel, Clock, Random } from "#lib/clock";
import { resumePoint, streamLife } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import { laneUnconfirmedMax } from "#lib/limits";
import type { Log } from "#lib/log";
import type { OpenOptions, OpenSource, Source } from "../broker.ts";
import { queueOf, sourceHash, subjectOf } from "../subjects.ts";
import { ackFacts } from "./ack-subject.ts";
import { Consumers, type ConsumerWish } from "./consumers.ts";
import { inboxPrefix, type NatsLink } from "./nats-link.ts";
import { displaced, NatsReader } from "./nats-reader.ts";
import { sourceStream } from "./stream-settings.ts";
import type { Streams } from "./streams.ts";

const sweepIntervalMs = 5_000;
const deletedAdvisory = "$JS.EVENT.ADVISORY.CONSUMER.DELETED";

/** What readers need of their broker. */
export interface ReadersSurroundings {
  readonly link: NatsLink;
  readonly streams: Streams;
  readonly user: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The sources that this connection has open, behind one wildcard reply subject for all of their pulls. */
export class NatsReaders {
  readonly #at: ReadersSurroundings;
  readonly #consumers: Consumers;
  readonly #inbox: string;
  /** By number (statuses of pulls), by consumer (messages) and by source (takeover in this process). */
  readonly #byNumber = new Map<number, NatsReader>();
  readonly #byConsumer = new Map<string, NatsReader>();
  readonly #bySource = new Map<string, NatsReader>();
  /** Sequences known to be given out, per stream: a cursor at or below needs no question. */
  readonly #lastSeqs = new Map<string, number>();
  #numbers = 0;
  #cancelSweep: Cancel;

  constructor(at: ReadersSurroundings) {
    this.#at = at;
    this.#consumers = new Consumers(at.link, at.random);
    this.#inbox = `${inboxPrefix(at.user)}.${hex(at.random(12))}`;
    at.link.subscribe(`${this.#inbox}.>`, (message) => this.#took(message));
    at.link.subscribe(`${deletedAdvisory}.*.*`, ({ subject }) => {
      const consumer = subject.split(".").at(-1) ?? "";
      this.#byConsumer.get(consumer)?.consumerDeleted(consumer);
    });
    this.#cancelSweep = at.clock.after(sweepIntervalMs, () => this.#sweep());
  }

  /** Takes a source over from whoever has it. Faults of the port. */
  async open(source: Source, options: OpenOptions): Promise<OpenSource> {
    const stream = sourceStream(source);
    const life = this.#at.streams.get(stream).created;
    const lastSeq = await this.#lastSeq(stream, life, options);
    const unique = () => hex(this.#at.random(4));
    const { created, from } = resumePoint(options.cursor, { created: life, lastSeq }, unique);
    const events = source.kind === "event";
    const wish: ConsumerWish = {
      stream,
      filter: subjectOf(source),
      prefix: events ? `event-${unique()}` : sourceHash(source),
      unconfirmedMax: options.unconfirmedMax ?? laneUnconfirmedMax,
      startSeq: events ? from + 1 : undefined,
    };
    const reader = this.#reader(wish, events ? wish.prefix : queueOf(source), created, from, options);
    try {
      await reader.start();
      return reader;
    } catch (error) {
      await reader.close();
      throw asFault(error, "broker");
    }
  }

  /** The stream has given out `seq`. */
  saw(stream: string, seq: number): void {
    if (seq > (this.#lastSeqs.get(stream) ?? 0)) this.#lastSeqs.set(stream, seq);
  }

  /** The connection was cut: nobody's consumer is complete any more. */
  cut(): void {
    for (const reader of this.#byNumber.values()) reader.cut();
  }

  /** The connection is back: each gets a new consumer, unless its stream is another than in `lives` (name → life before the cut). */
  restore(lives: ReadonlyMap<string, string>): void {
    this.#lastSeqs.clear();
    for (const reader of [...this.#byNumber.values()]) {
      if (lives.get(reader.stream) === this.#at.streams.get(reader.stream).created) reader.restore();
      else reader.end(new Fault("broker", "the stream was replaced"));
    }
  }

  /** Ends all; resolves when their confirmations have gone out. */
  async close(): Promise<void> {
    this.#cancelSweep();
    const readers = [...this.#byNumber.values()];
    for (const reader of readers) reader.end(new Fault("closed", "the broker is closed"));
    await Promise.all(readers.map((reader) => reader.close()));
  }

  #reader(wish: ConsumerWish, name: string, created: string, from: number, options: OpenOptions): NatsReader {
    this.#numbers += 1;
    const number = this.#numbers;
    let route: string | undefined;
    const reader: NatsReader = new NatsReader(wish, created, from, options, {
      ...this.#at,
      consumers: this.#consumers,
      inbox: `${this.#inbox}.${number}`,
      route: (consumer) => {
        if (route !== undefined) this.#byConsumer.delete(route);
        route = consumer;
        this.#byConsumer.set(consumer, reader);
      },
      onGone: () => {
        this.#byNumber.delete(number);
        if (route !== undefined) this.#byConsumer.delete(route);
        if (this.#bySource.get(name) === reader) this.#bySource.delete(name);
      },
    });
    this.#byNumber.set(number, reader);
    const rival = this.#bySource.get(name);
    this.#bySource.set(name, reader);
    rival?.end(displaced());
    return reader;
  }

  /** At least the cursor's sequence, or what the stream says it has given out. */
  async #lastSeq(stream: string, life: string, { cursor }: OpenOptions): Promise<number> {
    const known = Math.max(this.#lastSeqs.get(stream) ?? 0, this.#at.streams.get(stream).lastSeq);
    if (cursor === undefined || streamLife(cursor.created) !== life || cursor.seq <= known) return known;
    const lastSeq = await this.#at.streams.lastSeq(stream);
    this.saw(stream, lastSeq);
    return lastSeq;
  }

  /** Messages come on the stream's subject and name their consumer; statuses come on the pull's reply subject. */
  #took(message: Msg): void {
    const status = message.subject.startsWith(this.#inbox) ? (message.headers?.code ?? 0) : 0;
    if (status > 0) {
      const [number, pull] = message.subject.slice(this.#inbox.length + 1).split(".");
      this.#byNumber.get(Number(number))?.tookStatus(Number(pull), status, message.headers?.description ?? "");
      return;
    }
    const facts = message.reply === undefined ? undefined : ackFacts(message.reply);
    if (facts !== undefined) this.#byConsumer.get(facts.consumer)?.took(message, facts);
  }

  #sweep(): void {
    for (const reader of this.#byNumber.values()) reader.checkPull();
    this.#cancelSweep = this.#at.clock.after(sweepIntervalMs, () => this.#sweep());
  }
}
