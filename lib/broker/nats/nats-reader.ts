import type { Msg } from "nats.ws";
import { utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { OpenOptions, OpenSource } from "../broker.ts";
import { keyParts, laneOf } from "../subjects.ts";
import { type Unconfirmed, Window } from "../window.ts";
import type { AckFacts } from "./ack-subject.ts";
import { type Consumers, type ConsumerWish, consumerIdleMs } from "./consumers.ts";
import type { NatsLink } from "./nats-link.ts";

/** How long a pull waits at the server, ms; one that is overdue by `pullGraceMs` went to a consumer that is gone. */
const pullExpiresMs = 60_000;
const pullGraceMs = 5_000;
/** A consumer without a pull for this long may have been removed by its server (`consumerIdleMs`): it is made anew. */
const idleMaxMs = consumerIdleMs - 15_000;
const nsPerMs = 1_000_000;
const retryFirstMs = 100;
const retryMaxMs = 5_000;
const ack = utf8("+ACK");

/** What a reader of one filter needs. */
export interface ReaderSurroundings {
  readonly link: NatsLink;
  readonly consumers: Consumers;
  readonly clock: Clock;
  readonly log: Log;
  /** Reply subject for this reader's pulls, without the pull's number. */
  readonly inbox: string;
  /** Tells under which consumer name messages for this reader come from now on. */
  route(name: string): void;
  /** Told once, when it no longer reads. */
  onGone(): void;
}

interface Delivered extends Unconfirmed {
  /** Where its acknowledgement goes; undefined while the consumer that delivered it is gone. */
  reply: string | undefined;
}

interface Pull {
  readonly number: number;
  remaining: number;
  readonly dueMs: number;
}

/**
 * Reads one filter through throw-away consumers: a new one at the opening, after a reconnect, at a hole. Its owner sees each entry once,
 * whatever happens to the consumers.
 */
export class NatsReader implements OpenSource {
  readonly created: string;
  readonly #wish: ConsumerWish;
  readonly #options: OpenOptions;
  readonly #at: ReaderSurroundings;
  readonly #window: Window<Delivered>;
  /** Every consumer made that may still be there: a creation's answer may have been lost. */
  readonly #names = new Set<string>();
  #consumer: string | undefined;
  #consumerSeq = 0;
  #lastAck: string | undefined;
  #pull: Pull | undefined;
  #pulls = 0;
  /** When the last pull ended, or the consumer was made. */
  #lastPullMs = 0;
  #begun = false;
  #restoring = false;
  #restoreAgain = false;
  #ended = false;
  #closing: Promise<void> | undefined;

  constructor(wish: ConsumerWish, created: string, from: number, options: OpenOptions, at: ReaderSurroundings) {
    this.created = created;
    this.#wish = wish;
    this.#options = options;
    this.#at = at;
    this.#window = new Window(from, options);
  }

  /** The stream that it reads. */
  get stream(): string {
    return this.#wish.stream;
  }

  /** Takes the filter over and begins to read. Faults of the port. */
  async start(): Promise<void> {
    await this.#begin((wish, name) => this.#at.consumers.takeOver(wish, name));
    this.#ask();
  }

  confirm(seq: number): void {
    if (this.#ended) return;
    for (const { reply } of this.#window.confirm(seq)) this.#acknowledge(reply);
    this.#ask();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The broker's side ends it; the owner is told. */
  end(fault: Fault): void {
    if (this.#ended) return;
    this.#leave();
    this.#options.onClosed(fault);
  }

  /** The connection was cut: what comes from the present consumer is no longer complete. */
  cut(): void {
    this.#consumer = undefined;
    this.#pull = undefined;
    for (const entry of this.#window.items) entry.reply = undefined;
  }

  /** Reads on through a new consumer, unless someone else reads the filter now. */
  restore(): void {
    this.cut();
    this.#restoreAgain = true;
    if (this.#restoring || this.#ended) return;
    this.#restoring = true;
    void this.#restore();
  }

  /** A pull that is overdue went to a consumer that is gone without a word (its server restarted, it was idle). */
  checkPull(): void {
    if (this.#pull !== undefined && this.#at.clock.monotonic() > this.#pull.dueMs) this.restore();
  }

  /** The server tells that this consumer was deleted. A pull that is out is told so too; without one only this tells. */
  consumerDeleted(name: string): void {
    if (this.#ended || name !== this.#consumer || this.#pull !== undefined) return;
    if (this.#idleMs() > idleMaxMs) this.cut();
    else this.end(displaced());
  }

  /** A message from a consumer of this reader. */
  took(message: Msg, facts: AckFacts): void {
    if (this.#ended || facts.consumer !== this.#consumer) return;
    if (this.#pull !== undefined) {
      this.#pull.remaining -= 1;
      if (this.#pull.remaining <= 0) this.#pulled();
    }
    if (facts.consumerSeq !== this.#consumerSeq + 1 || facts.delivered !== 1) {
      this.#at.log.warn("a hole in a lane: its consumer is made anew", { filter: this.#wish.filter });
      this.restore();
      return;
    }
    this.#consumerSeq = facts.consumerSeq;
    if (facts.streamSeq <= this.#window.confirmed) this.#acknowledge(message.reply);
    else if (facts.streamSeq <= this.#window.delivered) this.#cameAgain(facts.streamSeq, message.reply);
    else this.#deliver(message, facts);
    this.#ask();
  }

  /** What the server says about a pull: it ran out, hit its byte bound, or its consumer is gone. */
  tookStatus(pullNumber: number, code: number, description: string): void {
    if (this.#ended || this.#pull?.number !== pullNumber) return;
    const overBytes = /MaxBytes/i.test(description);
    if (code === 100) return;
    this.#pulled();
    if (code === 408 || code === 404) this.#ask();
    else if (code === 409 && overBytes) this.#ask(true);
    else if (code === 409 && /Deleted/i.test(description)) this.end(displaced());
    else this.restore();
  }

  async #begin(make: (wish: ConsumerWish, name: string) => Promise<void>): Promise<void> {
    const name = this.#at.consumers.nameFor(this.#wish);
    this.#names.add(name);
    await make(this.#wish, name);
    if (this.#ended) {
      await this.#at.consumers.delete(this.#wish.stream, name);
      return;
    }
    this.#consumer = name;
    this.#consumerSeq = 0;
    this.#begun = true;
    this.#lastPullMs = this.#at.clock.monotonic();
    this.#at.route(name);
  }

  async #restore(): Promise<void> {
    let delayMs = retryFirstMs;
    while (this.#restoreAgain && !this.#ended && this.#at.link.connected) {
      this.#restoreAgain = false;
      try {
        for (const name of [...this.#names]) {
          await this.#at.consumers.delete(this.#wish.stream, name);
          this.#names.delete(name);
        }
        await this.#begin((wish, name) => this.#at.consumers.create(wish, name));
      } catch (error) {
        const fault = this.#unrecoverable(error);
        if (fault !== undefined) this.end(fault);
        this.#restoreAgain = true;
        await this.#pause(delayMs);
        delayMs = Math.min(retryMaxMs, delayMs * 2);
      }
    }
    this.#restoring = false;
    if (this.#consumer !== undefined) this.#ask();
  }

  /** Displaced, or a stream that is gone: trying again changes nothing. Everything else passes. */
  #unrecoverable(error: unknown): Fault | undefined {
    return error instanceof Fault && error.code !== "broker" ? error : undefined;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#at.clock.after(delayMs, resolve);
    });
  }

  #deliver(message: Msg, facts: AckFacts): void {
    const bytes = message.data.slice() as Uint8Array<ArrayBuffer>; // slice() copies into a buffer of its own
    this.#window.add({ seq: facts.streamSeq, size: bytes.length, reply: message.reply });
    const { id } = keyParts(message.headers?.get("Nats-Msg-Id") ?? "");
    const { agent, plugin } = laneOf(message.subject) ?? { agent: "", plugin: "" };
    this.#options.onEntry({
      created: this.created,
      seq: facts.streamSeq,
      id,
      agent,
      plugin,
      timeMs: facts.timeMs,
      bytes,
    });
  }

  /** Delivered by a former consumer, not yet confirmed: the owner has it, only the way of its acknowledgement is new. */
  #cameAgain(seq: number, reply: string | undefined): void {
    const known = this.#window.items.find((entry) => entry.seq === seq);
    if (known !== undefined) known.reply = reply;
  }

  #acknowledge(reply: string | undefined): void {
    if (reply === undefined || this.#consumer === undefined) return;
    this.#at.link.send(reply, ack);
    this.#lastAck = reply;
  }

  /** Pulls when no pull is out and the window has room. `overBytes`: the next entry is larger than the last pull's byte bound. */
  #ask(overBytes = false): void {
    if (this.#ended || this.#restoring || this.#pull !== undefined) return;
    if (this.#consumer === undefined || this.#idleMs() > idleMaxMs) {
      if (this.#begun && this.#at.link.connected) this.restore();
      return;
    }
    const { count, bytes } = this.#pullRoom();
    const alone = overBytes && this.#comingAgain().length === this.#window.items.length;
    if (!alone && (count <= 0 || bytes <= 0 || overBytes)) return;
    this.#pulls += 1;
    const request = {
      expires: pullExpiresMs * nsPerMs,
      ...(alone ? { batch: 1 } : { batch: count, max_bytes: bytes }),
    };
    const dueMs = this.#at.clock.monotonic() + pullExpiresMs + pullGraceMs;
    this.#pull = { number: this.#pulls, remaining: alone ? 1 : count, dueMs };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#wish.stream}.${this.#consumer}`;
    this.#at.link.send(subject, utf8(JSON.stringify(request)), `${this.#at.inbox}.${this.#pulls}`);
  }

  /** What a pull may bring: the window's room, and those that a new consumer delivers again. */
  #pullRoom(): { readonly count: number; readonly bytes: number } {
    const { count, bytes } = this.#window.room();
    const again = this.#comingAgain();
    return { count: count + again.length, bytes: again.reduce((sum, { size }) => sum + size, bytes) };
  }

  /** Entries whose reader has them, while the consumer that delivered them is gone. */
  #comingAgain(): readonly Delivered[] {
    return this.#window.items.filter(({ reply }) => reply === undefined);
  }

  #pulled(): void {
    this.#pull = undefined;
    this.#lastPullMs = this.#at.clock.monotonic();
  }

  #idleMs(): number {
    return this.#at.clock.monotonic() - this.#lastPullMs;
  }

  #leave(): void {
    this.#ended = true;
    this.#at.onGone();
  }

  async #close(): Promise<void> {
    if (!this.#ended) this.#leave();
    if (!this.#at.link.connected) return;
    try {
      // An answered acknowledgement is behind all that were sent before it.
      if (this.#lastAck !== undefined) await this.#at.link.settle(this.#lastAck, 1_000).catch(() => undefined);
      for (const name of this.#names) await this.#at.consumers.delete(this.#wish.stream, name);
    } catch (error) {
      // The server removes it a minute later by itself; whoever opens the lane before that deletes it.
      this.#at.log.debug("a consumer was left to its server", { error });
    }
  }
}

/** Why a reader ends when someone else opened its source. */
export function displaced(): Fault {
  return new Fault("displaced", "this lane was opened elsewhere");
}
