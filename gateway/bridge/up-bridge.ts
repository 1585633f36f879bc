import type { Broker } from "#lib/broker";
import { concat, hex, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { lanesPerAgentMax } from "#lib/limits";
import { type MessageStream, type MessageTaker, type MuxStream, messageStream } from "#lib/link";
import type { Log } from "#lib/log";
import { type UpDown, type UpUp, upDownSchema, upUpSchema } from "#lib/session";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { LaneHolder } from "./lane-holder.ts";

/** When an entry that the broker did not take is to be sent again, ms. */
const retryAfterMs = 1_000;
const fullRetryAfterMs = 5_000;
/** Bytes of one session that are on their way to the broker; more is told to come back. */
const inFlightBytesMax = 16 * 1_024 * 1_024;

/** What the up lanes of all sessions share. */
export interface UpParts {
  readonly broker: Pick<Broker, "publish">;
  readonly suite: Pick<CryptoSuite, "sha256">;
  readonly log: Log;
  readonly metrics: Pick<GatewayMetrics, "upEntries" | "upBytes">;
}

/** Entries of one agent on their way to the broker: one in flight per lane, the agent's name from the session. */
export class UpBridge implements MessageTaker<UpUp> {
  readonly #parts: UpParts;
  readonly #agent: string;
  readonly #stream: MessageStream<UpDown, UpUp>;
  readonly #session: LaneHolder;
  /** Lanes with an entry on its way; a few. */
  readonly #inFlight: string[] = [];
  #inFlightBytes = 0;
  #closed = false;

  /** Reads `stream` until it ends; `session` hears why, unless this side closed first. */
  constructor(parts: UpParts, agent: string, stream: MuxStream, session: LaneHolder) {
    this.#parts = parts;
    this.#agent = agent;
    this.#stream = messageStream(stream, { incoming: upUpSchema, outgoing: upDownSchema });
    this.#session = session;
    this.#stream.deliver(this);
  }

  /** Answers nothing any more; what is in flight may still reach the broker. */
  close(): void {
    this.#closed = true;
  }

  /** Once: no more messages come. */
  ended(fault = new Fault("closed", "the agent ended its up stream")): void {
    if (!this.#closed) this.#session.failed(fault);
  }

  message(entry: UpUp): void {
    if (this.#closed) return;
    const { plugin } = entry;
    if (this.#inFlight.includes(plugin))
      this.#session.failed(new Fault("bad_request", "two entries of one lane in flight"));
    else if (this.#inFlight.length > lanesPerAgentMax) this.#session.failed(new Fault("limited", "too many lanes"));
    else {
      this.#inFlight.push(plugin);
      this.#inFlightBytes += entry.body.length;
      void this.#publish(entry);
    }
  }

  async #publish({ plugin, generation, first, count, body }: UpUp): Promise<void> {
    let answer: UpDown;
    try {
      if (this.#inFlightBytes > inFlightBytesMax) throw new Fault("limited", "too much of one session on its way");
      const id = await this.#id(plugin, generation, first, body);
      await this.#parts.broker.publish({ kind: "up", agent: this.#agent, plugin }, body, id);
      this.#parts.metrics.upEntries.inc();
      this.#parts.metrics.upBytes.inc(body.length);
      answer = { type: "published", plugin, generation, first, count };
    } catch (error) {
      const { code } = this.#refusal(error, plugin);
      const later = code === "lane_full" ? fullRetryAfterMs : retryAfterMs;
      answer = { type: "refused", plugin, generation, first, code, retryAfterMs: later };
    }
    this.#inFlightBytes -= body.length;
    this.#inFlight.splice(this.#inFlight.indexOf(plugin), 1);
    if (this.#closed) return;
    this.#stream.send(answer).catch((error) => {
      if (!this.#closed) this.#session.failed(error);
    });
  }

  #refusal(error: unknown, plugin: string): { code: FaultCode } {
    const fault = asFault(error, "internal");
    this.#parts.log.info("an entry was not published", { agent: this.#agent, plugin, code: fault.code });
    return fault;
  }

  /**
   * Id at the broker, 64 hex digits: the same entry sent again is stored once. The body is part of it, so that a try
   * again with more messages, or a status alone with nothing new to number, is not taken for the one before.
   */
  async #id(plugin: string, generation: number, first: number, body: Uint8Array): Promise<string> {
    const place = utf8(`${this.#agent}\0${plugin}\0${generation}\0${first}\0`);
    return hex(await this.#parts.suite.sha256(concat(place, body)));
  }
}
