import type { Broker, Entry, OpenSource } from "#lib/broker";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { lanesPerAgentMax, laneUnconfirmedBytesMax, sessionMessageBytesMax } from "#lib/limits";
import { type MessageStream, type MessageTaker, type MuxStream, messageStream } from "#lib/link";
import type { Log } from "#lib/log";
import { type Cursor, type DownDown, type DownUp, downDownSchema, downUpSchema } from "#lib/session";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { LaneHolder } from "./lane-holder.ts";

/** What a message holds beside the entry's bytes. */
const overheadBytes = 2_048;
/** Lanes of one session that may each hold `laneUnconfirmedBytesMax`; the others a quarter, which bounds a slow reader's queue. */
const wideLanes = 8;

/** What the lanes of all sessions share. */
export interface DownParts {
  readonly broker: Pick<Broker, "open">;
  readonly log: Log;
  readonly metrics: Pick<GatewayMetrics, "downEntries" | "downBytes">;
}

/** One opening of one lane: a later one replaces it whole. */
interface Lane {
  readonly plugin: string;
  source: OpenSource | undefined;
  created: string;
  /** Last sequence sent, which is what the agent may say it has stored. */
  sent: number;
  closed: boolean;
}

/**
 * Lanes from the broker to one agent (DESIGN §4): entries go on as the bytes they are; the broker hears only what the
 * agent has fsynced. Entries of a lane that stands still stay with the broker beyond its unconfirmed limit.
 */
export class DownBridge implements MessageTaker<DownUp> {
  readonly #parts: DownParts;
  readonly #agent: string;
  readonly #stream: MessageStream<DownDown, DownUp>;
  readonly #session: LaneHolder;
  /** A few: not worth a table for each of thousands of sessions. */
  #lanes: readonly Lane[] = [];
  #closed = false;

  /** Reads `stream` until it ends; `session` hears why, unless this side closed first. */
  constructor(parts: DownParts, agent: string, stream: MuxStream, session: LaneHolder) {
    this.#parts = parts;
    this.#agent = agent;
    this.#stream = messageStream(stream, { incoming: downUpSchema, outgoing: downDownSchema });
    this.#session = session;
    this.#stream.deliver(this);
  }

  /** Gives every lane up; resolves when the broker knows. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#lanes.map((lane) => this.#closeLane(lane)));
  }

  /** Once: no more messages come. */
  ended(fault = new Fault("closed", "the agent ended its down stream")): void {
    if (!this.#closed) this.#session.failed(fault);
  }

  message(message: DownUp): void {
    if (this.#closed) return;
    switch (message.type) {
      case "open":
        void this.#open(message.plugin, message.cursor);
        break;
      case "close": {
        const lane = this.#lane(message.plugin);
        if (lane !== undefined) void this.#closeLane(lane);
        break;
      }
      case "stored":
        this.#stored(message.plugin, message.cursor);
        break;
    }
  }

  /** Takes the lane over at the broker; whoever had it, here or on another replica, is fenced by that. */
  async #open(plugin: string, cursor: Cursor | null): Promise<void> {
    const former = this.#lane(plugin);
    if (former === undefined && this.#lanes.length >= lanesPerAgentMax) {
      this.#refuse(plugin, "limited");
      return;
    }
    const lane: Lane = { plugin, source: undefined, created: "", sent: 0, closed: false };
    this.#lanes = [...this.#lanes.filter((other) => other !== former), lane];
    if (former !== undefined) await this.#closeLane(former);
    if (this.#over(lane)) return;
    try {
      await this.#connect(lane, cursor);
    } catch (error) {
      this.#lost(lane, error);
    }
  }

  async #connect(lane: Lane, cursor: Cursor | null): Promise<void> {
    const narrow = this.#lanes.length > wideLanes;
    let early: Entry[] | undefined = [];
    const source = await this.#parts.broker.open(
      { kind: "down", agent: this.#agent, plugin: lane.plugin },
      {
        cursor: cursor ?? undefined,
        onEntry: (entry) => {
          if (early === undefined) this.#forward(lane, entry);
          else early.push(entry); // `opened` goes first; at most what may be unconfirmed gathers here
        },
        onClosed: (fault) => this.#lost(lane, fault),
        ...(narrow ? { unconfirmedBytesMax: laneUnconfirmedBytesMax / 4 } : {}),
      },
    );
    lane.source = source;
    lane.created = source.created;
    if (this.#over(lane)) {
      await source.close();
      return;
    }
    this.#send({ type: "opened", plugin: lane.plugin, created: source.created });
    const waiting = early;
    early = undefined;
    for (const entry of waiting) this.#forward(lane, entry);
  }

  #forward(lane: Lane, { seq, created, timeMs, bytes }: Entry): void {
    if (this.#over(lane)) return;
    const { plugin } = lane;
    lane.sent = seq;
    const cursor = { created, seq };
    this.#parts.metrics.downEntries.inc();
    this.#parts.metrics.downBytes.inc(bytes.length);
    if (bytes.length > sessionMessageBytesMax - overheadBytes)
      this.#send({ type: "unreadable", plugin, cursor, code: "too_large" });
    else this.#send({ type: "entry", plugin, cursor, time: Math.floor(timeMs), body: bytes });
  }

  /** What was never sent in this opening can't be stored: such a word would have the broker forget messages. */
  #stored(plugin: string, { created, seq }: Cursor): void {
    const lane = this.#lane(plugin);
    if (lane?.source === undefined || created !== lane.created) return; // of an opening before: it comes again
    if (seq > lane.sent) {
      this.#session.failed(new Fault("bad_request", "stored beyond what was sent"));
      return;
    }
    lane.source.confirm(seq);
  }

  #lost(lane: Lane, error: unknown): void {
    if (this.#over(lane)) return;
    const { code, message } = asFault(error, "broker");
    this.#parts.log.info("a lane was closed", { agent: this.#agent, plugin: lane.plugin, code, reason: message });
    void this.#closeLane(lane);
    this.#refuse(lane.plugin, code);
  }

  #lane(plugin: string): Lane | undefined {
    return this.#lanes.find((lane) => lane.plugin === plugin);
  }

  #over(lane: Lane): boolean {
    return this.#closed || lane.closed;
  }

  async #closeLane(lane: Lane): Promise<void> {
    this.#lanes = this.#lanes.filter((other) => other !== lane);
    lane.closed = true;
    const { source } = lane;
    lane.source = undefined;
    try {
      await source?.close();
    } catch (error) {
      this.#parts.log.debug("a lane could not be closed", { agent: this.#agent, code: asFault(error, "broker").code });
    }
  }

  #refuse(plugin: string, code: FaultCode): void {
    this.#send({ type: "refused", plugin, code });
  }

  #send(message: DownDown): void {
    if (this.#closed) return;
    this.#stream.send(message).catch((error) => {
      if (!this.#closed) this.#session.failed(error);
    });
  }
}
