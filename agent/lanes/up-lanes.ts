import type { Bytes } from "#lib/bytes";
import { type Clock, sleep } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { MessageStream } from "#lib/link";
import type { Log } from "#lib/log";
import { decodeUpEntry, type LaneStatus, type UpDown, type UpUp, type UpWatermark } from "#lib/session";
import type { Lane, LaneStore } from "../store/lane-store.ts";
import type { OutboxBatch } from "../store/outbox.ts";
import { encodeUp } from "../store/up-letters.ts";
import type { LaneSeal } from "./lane-seal.ts";
import { laneStatus, StatusTurn } from "./lane-status.ts";
import { encodeUpEntry } from "./up-entry.ts";

const retryMs = 1_000;

export interface UpLanesOptions {
  readonly stream: Omit<MessageStream<UpUp, UpDown>, "deliver">;
  readonly lanes: Pick<LaneStore, "all" | "onLane">;
  /** What ingest has stored of each lane, as the session's opening told. */
  readonly watermarks: readonly UpWatermark[];
  /** What the messages of a lane are as they leave. */
  readonly sealOf: (lane: Lane) => Promise<Pick<LaneSeal, "required" | "up">>;
  /** Why a lane stands still, if it does. */
  readonly waiting: (lane: string) => string | undefined;
  /** An outbox came from an older copy of the store and was numbered anew. */
  readonly renewed: (lane: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The outboxes of this node on their way up over one session: one entry in flight per lane, which carries all that waits (DESIGN §4). */
export class UpLanes {
  readonly #options: UpLanesOptions;
  readonly #publishers = new Map<string, LanePublisher>();
  readonly #unlisten: () => void;
  #stopped = false;
  /** Why the stream ended; never rejects. */
  readonly ended: Promise<Fault>;

  /** Begins at once with every lane there is. */
  constructor(options: UpLanesOptions) {
    this.#options = options;
    this.#unlisten = options.lanes.onLane((lane) => this.#add(lane));
    for (const lane of options.lanes.all()) this.#add(lane);
    this.ended = this.#listen();
  }

  /** Looks again whether there is something to tell of a lane. */
  nudge(lane: string): void {
    this.#publishers.get(lane)?.nudge();
  }

  /** Sends nothing any more; resolves when nothing is being written. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unlisten();
    await Promise.all([...this.#publishers.values()].map((publisher) => publisher.stop()));
  }

  #add(lane: Lane): void {
    if (this.#stopped) return;
    this.#publishers.set(lane.name, new LanePublisher(lane, this.#options));
  }

  async #listen(): Promise<Fault> {
    try {
      for await (const message of this.#options.stream.receive())
        this.#publishers.get(message.plugin)?.answered(message);
      return new Fault("closed", "Nexus ended the up stream");
    } catch (error) {
      return asFault(error, "internal");
    }
  }
}

/** One lane's outbox: send, wait for the broker's word, delete, again. */
class LanePublisher {
  readonly #lane: Lane;
  readonly #options: UpLanesOptions;
  readonly #stop = new AbortController();
  readonly #turn = new StatusTurn();
  readonly #running: Promise<void>;
  readonly #unlisten: readonly (() => void)[];
  #answer: (answer: UpDown) => void = () => undefined;
  #wake: () => void = () => undefined;
  #woken = true;

  constructor(lane: Lane, options: UpLanesOptions) {
    this.#lane = lane;
    this.#options = options;
    const wake = () => this.nudge();
    this.#unlisten = [lane.outbox.onAppended(wake), lane.inbox.onChange(wake)];
    this.#running = this.#run();
  }

  nudge(): void {
    this.#woken = true;
    this.#wake();
  }

  answered(answer: UpDown): void {
    this.#answer(answer);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Fault("closed"));
    for (const unlisten of this.#unlisten) unlisten();
    await this.#running;
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    let begun = false;
    let sentK = 0;
    while (!this.#stopped) {
      try {
        if (!begun) await this.#reconcile();
        begun = true;
        sentK = await this.#step(sentK);
      } catch (error) {
        if (this.#stopped) return;
        this.#turn.lost();
        const { code, message } = asFault(error, "internal");
        log.warn("outbox not sent, tried again later", { plugin: this.#lane.name, code, reason: message });
        await this.#pause(retryMs);
      }
    }
  }

  async #reconcile(): Promise<void> {
    const watermark = this.#options.watermarks.find(({ plugin }) => plugin === this.#lane.name);
    if (watermark !== undefined && (await this.#lane.outbox.reconcile(watermark)))
      this.#options.renewed(this.#lane.name);
  }

  /** Sends what waits behind row `sentK`, or waits for something to send. Answers the last row that the broker has. */
  async #step(sentK: number): Promise<number> {
    const { clock } = this.#options;
    this.#woken = false;
    const batch = await this.#lane.outbox.batch(sentK);
    const status = laneStatus(this.#lane.inbox, this.#options.waiting(this.#lane.name));
    const dueInMs = this.#turn.dueInMs(status, clock.monotonic());
    const due = dueInMs === 0 ? status : undefined;
    if (batch === undefined && due === undefined) {
      await this.#untilWoken(dueInMs);
      return sentK;
    }
    const told = due === undefined ? undefined : await this.#capped(due, batch?.lastK ?? sentK);
    if (told !== undefined) this.#turn.sent(told, clock.monotonic());
    const answer = await this.#publish(batch, told);
    if (answer?.type === "published") {
      if (batch === undefined) return sentK;
      await this.#lane.outbox.acknowledged(batch.lastK);
      return batch.lastK;
    }
    this.#turn.lost();
    if (answer !== undefined) await this.#pause(answer.retryAfterMs);
    return sentK;
  }

  /** A status never passes a message whose letter has not gone before it or with it. */
  async #capped(status: LaneStatus, sentK: number): Promise<LaneStatus> {
    const letter = await this.#lane.outbox.letterAfter(sentK, status.created);
    return letter === undefined || status.applied < letter ? status : { ...status, applied: letter - 1 };
  }

  /** Undefined when the session ended before the answer. */
  async #publish(batch: OutboxBatch | undefined, status: LaneStatus | undefined): Promise<UpDown | undefined> {
    const { stream } = this.#options;
    const { name, outbox } = this.#lane;
    const generation = batch?.generation ?? outbox.generation;
    const first = batch?.first ?? (await outbox.nextNumber());
    const count = batch?.count ?? 0;
    const messages = await this.#sealed(batch?.body ?? [], count);
    const body = encodeUpEntry({ plugin: name, generation, first, status, count, messages });
    const { signal } = this.#stop;
    const answered = new Promise<UpDown | undefined>((resolve) => {
      const stopped = () => resolve(undefined);
      signal.addEventListener("abort", stopped, { once: true });
      this.#answer = (answer) => {
        if (answer.generation !== generation || answer.first !== first) return; // of an entry that this session did not send
        signal.removeEventListener("abort", stopped);
        resolve(answer);
      };
    });
    await stream.send({ type: "publish", plugin: name, generation, first, count, body });
    return await answered;
  }

  /** Messages as they leave. Those of a sealed plugin are signed anew at every try: by the keys of then, at the time of then. */
  async #sealed(rows: readonly Bytes[], count: number): Promise<readonly Bytes[]> {
    const seal = await this.#options.sealOf(this.#lane);
    if (!seal.required || count === 0) return rows;
    const place = { plugin: this.#lane.name, generation: 1, first: 1, status: undefined };
    const { messages } = decodeUpEntry(encodeUpEntry({ ...place, count, messages: rows }));
    return await Promise.all(messages.map(async (message) => encodeUp(await seal.up(message)).bytes));
  }

  async #untilWoken(timeoutMs: number | undefined): Promise<void> {
    if (this.#woken || this.#stopped) return;
    const { signal } = this.#stop;
    await new Promise<void>((resolve) => {
      const cancel = timeoutMs === undefined ? () => undefined : this.#options.clock.after(timeoutMs, () => done());
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }

  async #pause(delayMs: number): Promise<void> {
    await sleep(this.#options.clock, delayMs, { signal: this.#stop.signal }).catch(() => undefined); // stopped: the loop sees it
  }
}
