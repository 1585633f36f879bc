import type { Clock } from "#lib/clock";

/** How late the event loop ran since the monitor began or was last read. */
export interface LoopLag {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly samples: number;
}

/** Watches the event loop. */
export interface LoopLagMonitor extends Disposable {
  /** Lag since the last read; starts anew. */
  read(): LoopLag;
}

const samplesMax = 100_000;

/** Sets a timer again and again and notes how much later than asked it came. Interval default 5 ms; needs the real clock. */
export function monitorLoopLag(clock: Clock, intervalMs = 5): LoopLagMonitor {
  let samples: number[] = [];
  let due = clock.monotonic() + intervalMs;
  let cancel = clock.after(intervalMs, tick);
  function tick(): void {
    const now = clock.monotonic();
    if (samples.length < samplesMax) samples.push(Math.max(0, now - due));
    due = now + intervalMs;
    cancel = clock.after(intervalMs, tick);
  }
  return {
    read() {
      const sorted = samples.sort((a, b) => a - b);
      samples = [];
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
      return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0, samples: sorted.length };
    },
    [Symbol.dispose]: () => cancel(),
  };
}
