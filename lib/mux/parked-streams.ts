import type { Cancel, Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { resumeWithinMs } from "#lib/limits";
import type { Stream, StreamOwner } from "./stream.ts";

/**
 * Streams to one peer whose channel was lost, until another is up (PROTOCOL §9): a pause, and a reset once it has lasted for
 * `resumeWithinMs`. Meanwhile what has come can be read, and what is written waits.
 */
export class ParkedStreams {
  readonly #clock: Clock;
  readonly #streams = new Set<Stream>();
  readonly #owner: StreamOwner;
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#owner = {
      wrote: () => undefined,
      consumed: () => undefined,
      resetting: (stream) => this.#streams.delete(stream),
      settled: (stream) => stream.done && this.#streams.delete(stream),
    };
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Keeps the streams of a link that has ended. */
  park(streams: readonly Stream[]): void {
    const now = this.#clock.monotonic();
    for (const stream of streams) {
      stream.pausedMs ??= now;
      stream.resuming = false;
      stream.moveTo(this.#owner);
      this.#streams.add(stream);
    }
    this.#watch();
  }

  /** Gives all to a new link. */
  take(): Stream[] {
    const streams = [...this.#streams];
    this.#streams.clear();
    this.#watch();
    return streams;
  }

  /** Ends all. */
  end(fault: Fault): void {
    for (const stream of this.take()) stream.fail(fault, true);
  }

  #watch(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#streams.size === 0) return;
    const now = this.#clock.monotonic();
    const oldest = Math.min(...[...this.#streams].map(({ pausedMs = now }) => pausedMs));
    this.#cancel = this.#clock.after(Math.max(0, Math.ceil(oldest + resumeWithinMs - now)), () => {
      const late = this.#clock.monotonic() - resumeWithinMs;
      for (const stream of this.#streams) {
        if ((stream.pausedMs ?? late) > late) continue;
        this.#streams.delete(stream);
        // One that is over was held for the peer alone: what came of it can still be read.
        if (!stream.over) stream.fail(new Fault("timeout", "no channel to the peer in time"), true);
      }
      this.#watch();
    });
  }
}
