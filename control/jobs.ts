import { type Clock, sleep } from "#lib/clock";
import { asFault } from "#lib/fault";
import type { Log } from "#lib/log";

/** Work that is done again and again; each part may run in several replicas at once. */
export interface Job {
  readonly name: string;
  readonly everyMs: number;
  run(): Promise<unknown>;
}

/** Runs each job at its pace, the next time only after the last one ended. Disposing waits for what runs. */
export function startJobs(deps: { readonly clock: Clock; readonly log: Log }, jobs: readonly Job[]): AsyncDisposable {
  const stop = new AbortController();
  const running = jobs.map(async (job) => {
    while (!stop.signal.aborted) {
      await sleep(deps.clock, job.everyMs, { signal: stop.signal }).catch(() => undefined); // aborted: the loop ends
      if (stop.signal.aborted) return;
      try {
        await job.run();
      } catch (error) {
        deps.log.error("a job failed", { job: job.name, cause: asFault(error, "internal") });
      }
    }
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}
