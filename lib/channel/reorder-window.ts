import type { Bytes } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { recordGapTimeoutMs, recordWindow } from "#lib/limits";

export interface ReorderWindowEvents {
  /** The plaintext of the next counter. */
  next(plaintext: Bytes): void;
  /** A gap was open for `recordGapTimeoutMs`. */
  gap(fault: Fault): void;
}

interface Early {
  readonly plaintext: Bytes;
  readonly sinceMs: number;
}

/**
 * Puts verified records into counter order (PROTOCOL §7): one up to `recordWindow` (8) ahead of the next expected waits,
 * a repeat, one behind and one further ahead are faults, and so is a gap that stays open for 1 s.
 */
export class ReorderWindow {
  /** The counter that comes next. */
  expected = 0;
  readonly #clock: Clock;
  readonly #events: ReorderWindowEvents;
  readonly #early = new Map<number, Early>();
  #cancel: Cancel | undefined;

  constructor(clock: Clock, events: ReorderWindowEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Takes a record whose tag was verified. Throws Fault `record_order`. */
  take(counter: number, plaintext: Bytes): void {
    if (counter < this.expected || this.#early.has(counter)) throw order("a record repeated", counter, this.expected);
    if (counter > this.expected + recordWindow) throw order("a record too far ahead", counter, this.expected);
    if (counter > this.expected) {
      this.#early.set(counter, { plaintext, sinceMs: this.#clock.monotonic() });
      this.#cancel ??= this.#watch(recordGapTimeoutMs);
      return;
    }
    this.expected++;
    this.#events.next(plaintext);
    if (this.#early.size > 0) this.#drain();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#early.clear();
  }

  #drain(): void {
    for (let early = this.#early.get(this.expected); early; early = this.#early.get(this.expected)) {
      this.#early.delete(this.expected);
      this.expected++;
      this.#events.next(early.plaintext);
    }
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#early.size === 0) return;
    // The gap that is left was there when the first of those that still wait came.
    const openMs = this.#clock.monotonic() - Math.min(...[...this.#early.values()].map(({ sinceMs }) => sinceMs));
    this.#cancel = this.#watch(Math.max(0, recordGapTimeoutMs - openMs));
  }

  #watch(delayMs: number): Cancel {
    return this.#clock.after(Math.ceil(delayMs), () =>
      this.#events.gap(new Fault("record_order", "a record is missing", { detail: { expected: this.expected } })),
    );
  }
}

function order(message: string, counter: number, expected: number): Fault {
  return new Fault("record_order", message, { detail: { counter, expected } });
}
