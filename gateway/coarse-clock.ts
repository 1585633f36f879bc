import type { Clock } from "#lib/clock";

/** Timers are due on multiples of this, ms. */
const tickMs = 250;
/** Shorter ones are left to the clock itself. */
const coarseFromMs = 1_000;

interface Timer {
  /** Undefined once it was cancelled. */
  act: (() => void) | undefined;
}

/**
 * `clock` with one timer of the runtime for all that is due in a second or later, at most two ticks late: thousands of
 * idle sessions have three timers each, which are moved at every ping and hardly ever run.
 */
export function coarseClock(clock: Clock): Clock {
  const wheel = new Map<number, Set<Timer>>();
  const tickNow = () => Math.floor(clock.monotonic() / tickMs);
  let turning = false;
  let turnedTo = tickNow();

  function turn(): void {
    turning = false;
    const now = tickNow();
    const due: Timer[] = [];
    for (; turnedTo < now && wheel.size > 0; turnedTo++) {
      due.push(...(wheel.get(turnedTo + 1) ?? []));
      wheel.delete(turnedTo + 1);
    }
    turnedTo = now;
    turnLater();
    for (const timer of due) queueMicrotask(() => timer.act?.()); // one that throws must not keep the others from running
  }

  function turnLater(): void {
    if (turning || wheel.size === 0) return;
    turning = true;
    clock.after(tickMs, turn);
  }

  function drop(tick: number, timer: Timer): void {
    timer.act = undefined;
    const there = wheel.get(tick);
    if (there?.delete(timer) && there.size === 0) wheel.delete(tick);
  }

  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after(delayMs, act) {
      if (!(delayMs >= coarseFromMs)) return clock.after(delayMs, act);
      if (wheel.size === 0) turnedTo = tickNow();
      const tick = Math.max(turnedTo + 1, Math.ceil((clock.monotonic() + delayMs) / tickMs));
      const timer: Timer = { act };
      const there = wheel.get(tick);
      if (there === undefined) wheel.set(tick, new Set([timer]));
      else there.add(timer);
      turnLater();
      return () => drop(tick, timer);
    },
  };
}
