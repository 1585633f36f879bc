import type { Clock } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Db } from "../../db/index.ts";
import { newestSeq } from "./reader.ts";

/** Tells readers that something new was stored. */
export interface ReceivedFeed {
  /** Resolves once something was stored behind entry `seq`, after `timeoutMs`, or when the signal aborts. */
  changed(seq: number, timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Ingest in this process has stored something. */
  poke(): void;
}

interface Waiter {
  readonly seq: number;
  readonly until: number;
  readonly signal: AbortSignal;
  readonly resolve: () => void;
}

/** Another replica's ingest is noticed by asking. */
const everyMs = 100;
const pokedMs = 5;

/** One query for all readers, repeated while anybody waits. */
export function makeReceivedFeed(deps: { readonly db: Db; readonly clock: Clock; readonly log: Log }): ReceivedFeed {
  const waiters = new Set<Waiter>();
  let wake: (() => void) | undefined;
  let running = false;

  const pause = () =>
    new Promise<void>((resolve) => {
      const cancel = deps.clock.after(everyMs, resolve);
      wake = () => {
        wake = undefined;
        cancel();
        deps.clock.after(pokedMs, resolve);
      };
    });

  async function run(): Promise<void> {
    while (waiters.size > 0) {
      await pause();
      const seq = await newestSeq(deps.db).catch((error: unknown) => {
        deps.log.warn("the newest entry could not be read", { error });
        return 0;
      });
      for (const waiter of waiters) {
        if (seq <= waiter.seq && !waiter.signal.aborted && deps.clock.monotonic() < waiter.until) continue;
        waiters.delete(waiter);
        waiter.resolve();
      }
    }
    running = false;
  }

  return {
    changed: (seq, timeoutMs, signal) =>
      new Promise((resolve) => {
        waiters.add({ seq, until: deps.clock.monotonic() + timeoutMs, signal, resolve });
        if (running) return;
        running = true;
        void run();
      }),
    poke() {
      wake?.();
    },
  };
}
