import type { Log } from "#lib/log";
import type { Db } from "../db/index.ts";
import type { DesiredStates } from "../desired/index.ts";
import { nodeRenamed, nodeStated, renamedNodes, type StaleFilter, staleNodes } from "./repo.ts";

const batch = 200;

/** Keeps the desired states of nodes at what their portals are: a portal concerns several, and each has its own number. */
export interface PortalStates {
  /** Makes the states anew of all nodes that have an older one of this portal, or of those with this policy. What fails is left to `look`. */
  settle(only: NonNullable<StaleFilter>): Promise<void>;
  /** The same for all portals, and for nodes that have another identity since: to be called every few seconds. */
  look(): Promise<void>;
}

export function makePortalStates(deps: {
  readonly db: Db;
  readonly log: Log;
  readonly states: Pick<DesiredStates, "reseal">;
}): PortalStates {
  const { db, log, states } = deps;

  async function restate(only: StaleFilter): Promise<void> {
    const stale = await staleNodes(db, only, batch);
    for (const agentId of new Set(stale.map((node) => node.agentId))) {
      // The versions were read before the state is made: a portal that changes meanwhile is stale again.
      const nodes = stale.filter((node) => node.agentId === agentId);
      await states.reseal(agentId);
      await db.write(...nodes.flatMap((node) => nodeStated(db, node)));
    }
  }

  return {
    async settle(only) {
      try {
        await restate(only);
      } catch (error) {
        log.warn("a portal's nodes are told later", { ...only, error });
      }
    },
    async look() {
      const renamed = await renamedNodes(db);
      if (renamed.length > 0) await db.write(...renamed.flatMap((node) => nodeRenamed(db, node)));
      await restate(undefined);
    },
  };
}
