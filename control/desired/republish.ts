import { type Clock, sleep } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Db } from "../db/index.ts";
import type { DesiredStates } from "./desired-states.ts";
import { agentsWithState } from "./repo.ts";

export interface RepublishDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  readonly states: Pick<DesiredStates, "publish">;
}

const page = 200;
const everyMs = 5_000;

/** Publishes the newest state of every agent that the broker lacks; with `unpublished` only what was never published. */
export async function republish(deps: RepublishDeps, unpublished: boolean): Promise<number> {
  let published = 0;
  let after = "";
  for (;;) {
    const agents = await agentsWithState(deps.db, { after, unpublished, limit: page });
    for (const agentId of agents) if (await deps.states.publish(agentId)) published += 1;
    const last = agents.at(-1);
    if (last === undefined || agents.length < page) return published;
    after = last;
  }
}

/** Seals the state of every agent anew, under the authority's key of now. */
export async function resealAll(db: Db, states: Pick<DesiredStates, "reseal">): Promise<void> {
  for (let after = ""; ; ) {
    const agents = await agentsWithState(db, { after, unpublished: false, limit: page });
    for (const agentId of agents) await states.reseal(agentId);
    const last = agents.at(-1);
    if (last === undefined || agents.length < page) return;
    after = last;
  }
}

/**
 * Publishes all that the broker lost once at the start, then every few seconds what could not be published when it was made.
 * A broker that comes back empty while this runs is noticed through `again`.
 */
export function keepPublishing(deps: RepublishDeps): AsyncDisposable & { again(): void } {
  const stop = new AbortController();
  let whole = true;
  const done = run();

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      const all = whole;
      whole = false;
      try {
        const published = await republish(deps, !all);
        if (published > 0) deps.log.info("desired states were published again", { published });
      } catch (error) {
        whole ||= all;
        deps.log.warn("desired states could not be published", { error });
      }
      await sleep(deps.clock, everyMs, { signal: stop.signal }).catch(() => undefined); // aborted: the loop ends
    }
  }

  return {
    again() {
      whole = true;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}
