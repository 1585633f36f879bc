import { type Clock, sleep } from "#lib/clock";
import type { Log } from "#lib/log";
import { type Db, isUnmet, type Seals } from "../../db/index.ts";
import type { Lanes } from "../../lanes/index.ts";
import { type AbandonedEntry, abandonedEntries, claimEntry, place } from "../repo.ts";
import { pushEntries } from "../tables.ts";
import { entryHeldMs, type PublishDown } from "./entry-steps.ts";

export interface AdoptionDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly clock: Clock;
  readonly log: Log;
  readonly lanes: Lanes;
  readonly publishDown: PublishDown;
}

const atOnce = 50;
const everyMs = 2_000;

/**
 * Publishes entries whose process died between their rows and their place: under the same id, so the broker or the site
 * drops what was there already, and no message stays without a place. Resolves with how many it took over.
 */
export async function adoptEntries(deps: AdoptionDeps): Promise<number> {
  const now = deps.clock.now();
  let adopted = 0;
  for (const entry of await abandonedEntries(deps.db, now, atOnce)) {
    try {
      if (await adopt(deps, entry, now)) adopted += 1;
    } catch (error) {
      deps.log.warn("an abandoned entry could not be published", { entry: entry.id, error }); // its next turn comes
    }
  }
  return adopted;
}

async function adopt(deps: AdoptionDeps, entry: AbandonedEntry, now: number): Promise<boolean> {
  try {
    await deps.db.write(claimEntry(entry, now + entryHeldMs));
  } catch (error) {
    if (isUnmet(error, 0)) return false;
    throw error;
  }
  const lane = await deps.lanes.byId(entry.lane);
  if (lane === undefined) return false;
  const bytes = await deps.seals.open(pushEntries.entry, entry.token, entry.entry);
  const { created, seq } = await deps.publishDown({ agent: lane.agentId, plugin: lane.plugin }, bytes, entry.token);
  await deps.db.write(place(entry.token, created, seq));
  return true;
}

/** Adopts every few seconds until it is disposed of. */
export function keepAdopting(deps: AdoptionDeps): AsyncDisposable {
  const stop = new AbortController();
  const done = run();

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      await adoptEntries(deps).catch((error: unknown) =>
        deps.log.warn("abandoned entries could not be read", { error }),
      );
      await sleep(deps.clock, everyMs, { signal: stop.signal }).catch(() => undefined); // aborted: the loop ends
    }
  }

  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}
