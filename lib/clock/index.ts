/** Time as an argument. Layer 0: the real clock is made in `lib/runtime`, a driven one in the tests. */

/** Stops what was scheduled; calling it again does nothing. */
export type Cancel = () => void;

/** Time and timers. */
export interface Clock {
  /** Wall clock, ms since 1970; may jump. */
  now(): number;
  /** Never goes back; ms since an arbitrary start. For durations and deadlines. */
  monotonic(): number;
  /** Calls `act` once after `delayMs` (0 … 2^31-1). Does not keep the process alive by itself. */
  after(delayMs: number, act: () => void): Cancel;
}

/** `lengthBytes` random bytes from a cryptographic source. */
export type Random = (lengthBytes: number) => Uint8Array<ArrayBuffer>;

/** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
export function sleep(clock: Clock, delayMs: number, options: { signal?: AbortSignal } = {}): Promise<void> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const abort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}
