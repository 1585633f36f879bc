import type { Clock } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Db } from "../db/index.ts";
import { isFinal } from "./message-state.ts";
import { type MessageRow, messagesById } from "./repo.ts";

/** Waits for messages to reach their end. */
export interface MessageWatch {
  /** The rows once all are final, or as they are after `timeoutMs`. More waiters than are kept: as they are now. */
  final(ids: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<MessageRow[]>;
  /** Says that states may have changed: ingest in this process does, so that its waiters need not be asked for. */
  poke(): void;
}

interface Waiter {
  readonly ids: readonly string[];
  readonly until: number;
  readonly signal: AbortSignal;
  readonly resolve: (rows: MessageRow[]) => void;
  readonly reject: (error: unknown) => void;
}

const waitersMax = 2_000;
const idsPerQuery = 2_000;
/** Another replica's ingest is noticed by asking. */
const everyMs = 50;
const pokedMs = 5;

/** One query for all that wait, repeated while anybody does. */
export function makeMessageWatch(deps: { readonly db: Db; readonly clock: Clock; readonly log: Log }): MessageWatch {
  let waiters: Waiter[] = [];
  let wake: (() => void) | undefined;
  let running = false;

  /** Until the next round: soon after a poke. */
  const pause = () =>
    new Promise<void>((resolve) => {
      const cancel = deps.clock.after(everyMs, resolve);
      wake = () => {
        cancel();
        wake = undefined;
        deps.clock.after(pokedMs, resolve);
      };
    });

  async function run(): Promise<void> {
    while (waiters.length > 0) {
      await pause();
      const round = waiters;
      try {
        const rows = await read(round);
        waiters = [...round.filter((waiter) => !finish(waiter, rows)), ...waiters.slice(round.length)];
      } catch (error) {
        waiters = waiters.slice(round.length);
        for (const waiter of round) waiter.reject(error);
      }
    }
    running = false;
  }

  async function read(round: readonly Waiter[]): Promise<Map<string, MessageRow>> {
    const ids = [...new Set(round.flatMap((waiter) => waiter.ids))];
    const rows = new Map<string, MessageRow>();
    for (let start = 0; start < ids.length; start += idsPerQuery)
      for (const row of await messagesById(deps.db, ids.slice(start, start + idsPerQuery))) rows.set(row.id, row);
    return rows;
  }

  function finish(waiter: Waiter, rows: ReadonlyMap<string, MessageRow>): boolean {
    const found = waiter.ids.flatMap((id) => rows.get(id) ?? []);
    const done = found.every(({ state }) => isFinal(state));
    if (!done && !waiter.signal.aborted && deps.clock.monotonic() < waiter.until) return false;
    waiter.resolve(found);
    return true;
  }

  return {
    async final(ids, timeoutMs, signal) {
      if (timeoutMs <= 0 || waiters.length >= waitersMax || ids.length === 0) return messagesById(deps.db, ids);
      return new Promise((resolve, reject) => {
        waiters = [...waiters, { ids, until: deps.clock.monotonic() + timeoutMs, signal, resolve, reject }];
        if (running) return;
        running = true;
        void run();
      });
    },
    poke() {
      wake?.();
    },
  };
}
