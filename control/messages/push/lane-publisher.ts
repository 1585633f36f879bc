import { Fault } from "#lib/fault";
import { pushWaitingLaneBytesMax } from "#lib/limits";
import type { Lane } from "../../lanes/index.ts";
import { nextEntryLength, type Waiting } from "./coalesce.ts";

/** What became of one pushed message: its id, or why it was not taken. */
export type PushResult = { readonly id: string; readonly repeated: boolean } | Fault;

/** A message in a lane's queue, with whom to tell. */
export interface Queued extends Waiting {
  readonly settle: (result: PushResult) => void;
}

/** The two steps of an entry; each settles those whose fate it knows. Neither rejects. */
export interface EntrySteps {
  /** Writes rows; what it returns is left to publish, undefined when nothing is. */
  reserve(lane: Lane, batch: readonly Queued[]): Promise<(() => Promise<void>) | undefined>;
}

/**
 * One lane's way to the broker: while one entry is published, all that comes gathers for the next, whose rows are
 * written meanwhile. So one publish is in flight, in the order of the calls, and an idle lane publishes at once.
 */
export class LanePublisher {
  readonly #lane: Lane;
  readonly #steps: EntrySteps;
  readonly #idle: () => void;
  #queue: Queued[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | undefined;

  constructor(lane: Lane, steps: EntrySteps, idle: () => void) {
    this.#lane = lane;
    this.#steps = steps;
    this.#idle = idle;
  }

  /** Bodies that wait here, bytes. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Resolves when nothing waits and nothing is in flight. */
  async drained(): Promise<void> {
    await this.#running;
  }

  /** Takes all or none. Fault `lane_full` past the lane's share of memory. */
  push(batch: readonly Queued[]): void {
    const bytes = sizeOf(batch);
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > pushWaitingLaneBytesMax)
      throw new Fault("lane_full", "too much waits to be published", { detail: { retryAfterMs: 1_000 } });
    for (const queued of batch) this.#queue.push(queued);
    this.#waitingBytes += bytes;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    let publishing: Promise<void> = Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, nextEntryLength(this.#queue));
      const publish = await this.#steps.reserve(this.#lane, batch);
      await publishing;
      const done = () => {
        this.#waitingBytes -= sizeOf(batch);
      };
      if (publish === undefined) done();
      else publishing = publish().then(done);
      // Nothing to reserve meanwhile: what comes during this publish begins the next round.
      if (this.#queue.length === 0) await publishing;
    }
    this.#running = undefined;
    this.#idle();
  }
}

const sizeOf = (batch: readonly Queued[]) => batch.reduce((sum, { item }) => sum + item.body.length, 0);
