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

/** So many waiting messages are worth an entry of their own: their rows are written while the entry before is published. */
const ownEntryMin = 64;

/**
 * One lane's way to the broker: an idle lane goes at once; what comes while an entry is on its way gathers for the next, whose rows are
 * written during the publish when much has gathered. One publish is in flight, in the order of the calls.
 */
export class LanePublisher {
  readonly #lane: Lane;
  readonly #steps: EntrySteps;
  readonly #idle: () => void;
  #queue: Queued[] = [];
  /** Messages pushed and not settled, and their bodies. */
  #waiting = 0;
  #waitingBytes = 0;
  #reserving: Promise<void> | undefined;
  #publishing: Promise<void> = Promise.resolve();

  constructor(lane: Lane, steps: EntrySteps, idle: () => void) {
    this.#lane = lane;
    this.#steps = steps;
    this.#idle = idle;
  }

  /** Resolves when nothing waits and nothing is in flight. */
  async drained(): Promise<void> {
    while (this.#reserving !== undefined) await this.#reserving;
    await this.#publishing;
  }

  /** Takes all or none. Fault `lane_full` past the lane's share of memory. */
  push(batch: readonly Queued[]): void {
    const bytes = sizeOf(batch);
    if (this.#waiting > 0 && this.#waitingBytes + bytes > pushWaitingLaneBytesMax)
      throw new Fault("lane_full", "too much waits to be published", { detail: { retryAfterMs: 1_000 } });
    for (const queued of batch) this.#queue.push(queued);
    this.#waiting += batch.length;
    this.#waitingBytes += bytes;
    this.#reserving ??= this.#reserveAll();
  }

  async #reserveAll(): Promise<void> {
    while (this.#queue.length > 0) {
      if (this.#queue.length < ownEntryMin) await this.#publishing;
      const batch = this.#queue.splice(0, nextEntryLength(this.#queue));
      const publish = await this.#steps.reserve(this.#lane, batch);
      await this.#publishing;
      this.#publishing = this.#publish(batch, publish);
    }
    this.#reserving = undefined;
  }

  async #publish(batch: readonly Queued[], publish: (() => Promise<void>) | undefined): Promise<void> {
    await publish?.();
    this.#waiting -= batch.length;
    this.#waitingBytes -= sizeOf(batch);
    if (this.#waiting === 0) this.#idle();
  }
}

const sizeOf = (batch: readonly Queued[]) => batch.reduce((sum, { item }) => sum + item.body.length, 0);
