import type { Clock, Random } from "#lib/clock";

const delayMaxMs = 2 ** 31 - 1;

/** The machine's clock and timers. RangeError for a delay outside 0 … 2^31-1 ms. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, act) {
    if (!(delayMs >= 0 && delayMs <= delayMaxMs)) throw new RangeError("delay outside 0 … 2^31-1 ms");
    const timer = setTimeout(act, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** The operating system's cryptographic random source. */
export const systemRandom: Random = (lengthBytes) => crypto.getRandomValues(new Uint8Array(lengthBytes));
