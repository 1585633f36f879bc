import { type Clock, sleep } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Lease, Leases } from "./leases.ts";

/** Work that goes on until its signal aborts; it must stop then. */
export type LeasedWork = (lease: Lease, signal: AbortSignal) => Promise<void>;

export interface LeasedWorkOptions {
  readonly leases: Leases;
  readonly clock: Clock;
  readonly log: Log;
  readonly name: string;
  /** How long a replica that died keeps the others waiting, ms. Renewed at a third of it. */
  readonly termMs: number;
  /** Pause before another try after the work failed or the lease was another's, ms. */
  readonly retryMs: number;
}

/**
 * Runs `work` in the one replica that holds the lease, for as long as this process lives: takes over when the holder is
 * gone, begins anew when the work fails. Disposing stops the work, waits for it and gives the lease back.
 */
export function underLease(options: LeasedWorkOptions, work: LeasedWork): AsyncDisposable {
  const stop = new AbortController();
  const done = run();

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        const lease = await options.leases.acquire(options.name, options.termMs);
        if (lease !== undefined) await hold(lease);
      } catch (error) {
        if (!stop.signal.aborted) options.log.error("leased work failed", { lease: options.name, error });
      }
      await sleep(options.clock, options.retryMs, { signal: stop.signal }).catch(() => undefined); // aborted: the loop ends
    }
  }

  async function hold(lease: Lease): Promise<void> {
    const lost = new AbortController();
    const signal = AbortSignal.any([stop.signal, lost.signal]);
    const renewing = renew(lease, lost, signal);
    try {
      await work(lease, signal);
    } finally {
      lost.abort();
      await renewing;
      await lease.release();
    }
  }

  async function renew(lease: Lease, lost: AbortController, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        await sleep(options.clock, options.termMs / 3, { signal });
        if (!(await lease.renew())) lost.abort();
      }
    } catch (error) {
      if (!signal.aborted) options.log.warn("a lease could not be renewed", { lease: options.name, error });
      lost.abort();
    }
  }

  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}
