import type { Cancel, Clock } from "#lib/clock";
import { type SeededRandom, seededRandom } from "../promises/seed.ts";

interface Event {
  readonly atMs: number;
  /** Decides among what is due at the same time. */
  readonly tie: number;
  readonly act: () => void;
  cancelled: boolean;
}

/** No timer fires at the very time at which it was set. */
const timerMinMs = 0.001;

/** 2023-11-14: when every run begins. */
export const simStartMs = 1_700_000_000_000;

/**
 * Time of a whole simulation: one queue of what is due, one source of chance. Nothing else decides what happens next: between two
 * events all promises that can settle do, and what is due at the same time comes in an order that the seed draws.
 */
export class SimTime implements Clock {
  readonly random: SeededRandom;
  /** Events that have run. */
  events = 0;
  /** Of all that happened, in its order: two runs of one seed have the same. */
  digest = 0x811c9dc5;
  readonly #heap: Event[] = [];
  #nowMs = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  now(): number {
    return simStartMs + this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, act: () => void): Cancel {
    const event = {
      atMs: this.#nowMs + Math.max(timerMinMs, delayMs),
      tie: this.random.integer(0, 2 ** 30),
      act,
      cancelled: false,
    };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs all that is due until `untilMs`; `each` looks at the world after every event. */
  async run(untilMs: number, each: () => void = () => undefined): Promise<void> {
    for (;;) {
      await settled();
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      if (next.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#note(next);
      next.act();
      each();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Runs until `work` has settled. RangeError when nothing is left that could settle it, or after `withinMs`. */
  async until<T>(work: Promise<T>, withinMs = 60_000): Promise<T> {
    let over = false;
    const done = () => {
      over = true;
    };
    work.then(done, done);
    const untilMs = this.#nowMs + withinMs;
    for (;;) {
      await settled();
      if (over) return work;
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) throw new RangeError(`not settled in ${withinMs} ms`);
      await this.run(next.atMs);
    }
  }

  #note({ atMs, tie }: Event): void {
    this.events++;
    this.digest = Math.imul(this.digest ^ Math.floor(atMs * 1_000), 0x01000193) ^ tie;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent])) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const child = before(heap[right], heap[left]) ? right : left;
      if (!before(heap[child], heap[at])) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return;
    this.#heap[a] = second;
    this.#heap[b] = first;
  }
}

function before(a: Event | undefined, b: Event | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined;
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie);
}

/** Lets every promise run that can: nothing here waits for anything but promises and the queue. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
