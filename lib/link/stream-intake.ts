import type { Cancel, Clock } from "#lib/clock";
import { unclaimedStreamMs, unclaimedStreamsMax } from "#lib/limits";
import type { MuxStream } from "#lib/mux";

type Handler = (stream: MuxStream) => void;

/** Hands streams of the peer to their taker; those that come before one is named wait for it, not many and not long. */
export class StreamIntake {
  readonly #clock: Clock;
  #handler: Handler | undefined;
  #waiting: MuxStream[] = [];
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  take(stream: MuxStream): void {
    if (this.#handler !== undefined) this.#handler(stream);
    else if (this.#waiting.length >= unclaimedStreamsMax) refuse(stream);
    else {
      this.#waiting.push(stream);
      this.#cancel ??= this.#clock.after(unclaimedStreamMs, () => this.handle(undefined));
    }
  }

  /** Names the taker; undefined refuses what waits and what comes. */
  handle(handler: Handler | undefined): void {
    this.stop();
    this.#handler = handler ?? refuse;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) this.#handler(stream);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}

function refuse(stream: MuxStream): void {
  stream.reset("not_found");
}
