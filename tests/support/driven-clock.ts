import type { Clock } from "#lib/clock";

/** A clock that stands still until the test moves it; what falls due runs in its order, within `advance`. */
export class DrivenClock implements Clock {
  #now: number;
  #monotonic = 0;
  #timers: { readonly at: number; readonly act: () => void }[] = [];

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.length;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, act: () => void): () => void {
    const timer = { at: this.#monotonic + delayMs, act };
    this.#timers.push(timer);
    this.#timers.sort((a, b) => a.at - b.at);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Moves both clocks by `byMs`; after each timer, what it set going with promises runs too. */
  async advance(byMs: number): Promise<void> {
    const until = this.#monotonic + byMs;
    for (;;) {
      await settle();
      const next = this.#timers[0];
      if (next === undefined || next.at > until) break;
      this.#timers.shift();
      this.#move(next.at);
      next.act();
    }
    this.#move(until);
    await settle();
  }

  /** Lets time pass without anything running: the process stood still. What fell due runs at the next `advance`. */
  stall(byMs: number): void {
    this.#move(this.#monotonic + byMs);
  }

  /** Moves the wall clock alone: someone set it. */
  setWall(nowMs: number): void {
    this.#now = nowMs;
  }

  #move(to: number): void {
    this.#now += Math.max(0, to - this.#monotonic);
    this.#monotonic = Math.max(this.#monotonic, to);
  }
}

/** Lets promises that are due run, Web Crypto's included. */
async function settle(): Promise<void> {
  for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
}
