import type { Cancel, Clock } from "#lib/clock";

const delayMaxMs = 2 ** 31 - 1;

/** Timers of one session by name: setting one again moves it, and none outlives the session. */
export class SessionTimers {
  readonly #clock: Clock;
  readonly #timers = new Map<string, Cancel>();
  #over = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `act` in `delayMs`, in place of what was to run under this name. */
  later(name: string, delayMs: number, act: () => void): void {
    if (this.#over) return;
    this.#timers.get(name)?.();
    this.#timers.set(name, this.#clock.after(Math.min(delayMs, delayMaxMs), act));
  }

  end(): void {
    this.#over = true;
    for (const cancel of this.#timers.values()) cancel();
  }
}
