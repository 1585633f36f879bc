import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";

/** A signal that aborts with `outer`, or by itself when the time is up; dispose it when the work is done. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** Whether it was the time that ended it. */
  readonly expired: boolean;
}

export function deadline(clock: Clock, timeoutMs: number, outer: AbortSignal): Deadline {
  const own = new AbortController();
  const cancel = clock.after(timeoutMs, () => own.abort(new Fault("timeout")));
  return {
    signal: AbortSignal.any([outer, own.signal]),
    get expired() {
      return own.signal.aborted;
    },
    [Symbol.dispose]: cancel,
  };
}
