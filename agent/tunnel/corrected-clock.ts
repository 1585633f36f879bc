import type { Cancel, Clock } from "#lib/clock";
import { clockLeewayMs } from "#lib/limits";

/** A smaller difference is the network's delay, and no reason to move the clock. */
const noticeMs = clockLeewayMs / 4;

/**
 * The machine's clock with what authenticated time has added to it (PROTOCOL §5): Solaris' MACed answer, or a time inside a
 * session. Nothing else moves it.
 */
export class CorrectedClock implements Clock {
  readonly #machine: Clock;
  #offsetMs: number;

  /** `offsetMs`: the correction of a run before. */
  constructor(machine: Clock, offsetMs = 0) {
    this.#machine = machine;
    this.#offsetMs = offsetMs;
  }

  /** What is added to the machine's clock, ms. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  now(): number {
    return this.#machine.now() + this.#offsetMs;
  }

  monotonic(): number {
    return this.#machine.monotonic();
  }

  after(delayMs: number, act: () => void): Cancel {
    return this.#machine.after(delayMs, act);
  }

  /**
   * Takes an authenticated time, ms since 1970; never behind `floorMs`, the newest time that the authority has vouched for.
   * Answers whether it moved the clock: differences below 15 s do not.
   */
  correct(trueMs: number, floorMs: number): boolean {
    const target = Math.max(trueMs, floorMs);
    if (Math.abs(target - this.now()) < noticeMs) return false;
    this.#offsetMs = Math.round(target - this.#machine.now());
    return true;
  }
}
