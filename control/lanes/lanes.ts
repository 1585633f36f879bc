import { and, eq } from "drizzle-orm";
import { Fault } from "#lib/fault";
import type { Db } from "../db/index.ts";
import { lanes } from "./tables.ts";

/** A lane by its names; `customerId` never changes. */
export interface LaneKey {
  readonly customerId: string;
  readonly agentId: string;
  readonly plugin: string;
}

export interface Lane extends LaneKey {
  readonly id: number;
}

/** Numbers of lanes. Both ways of a lane's name to its number are for ever, so what was found is kept. */
export interface Lanes {
  /** The lane of these names, made when it is new. Fault `wrong_agent` when the agent is another customer's. */
  of(key: LaneKey): Promise<Lane>;
  /** The lane, if there is one. */
  find(agentId: string, plugin: string): Promise<Lane | undefined>;
  byId(id: number): Promise<Lane | undefined>;
}

const rememberedMax = 10_000;

export function makeLanes(db: Db): Lanes {
  const byName = new Map<string, Lane>();
  const byNumber = new Map<number, Lane>();
  const columns = { id: lanes.id, customerId: lanes.customerId, agentId: lanes.agentId, plugin: lanes.plugin };
  const nameOf = (agentId: string, plugin: string) => `${agentId}/${plugin}`;

  function remember(lane: Lane | undefined): Lane | undefined {
    if (lane === undefined) return undefined;
    if (byName.size >= rememberedMax) {
      byName.clear();
      byNumber.clear();
    }
    byName.set(nameOf(lane.agentId, lane.plugin), lane);
    byNumber.set(lane.id, lane);
    return lane;
  }

  async function find(agentId: string, plugin: string): Promise<Lane | undefined> {
    const known = byName.get(nameOf(agentId, plugin));
    if (known !== undefined) return known;
    const where = and(eq(lanes.agentId, agentId), eq(lanes.plugin, plugin));
    const [row] = await db.query.select(columns).from(lanes).where(where).limit(1);
    return remember(row);
  }

  return {
    find,
    async of(key) {
      let lane = await find(key.agentId, key.plugin);
      if (lane === undefined) {
        const { customerId, agentId, plugin } = key;
        await db.write(db.query.insert(lanes).values({ customerId, agentId, plugin }).onConflictDoNothing());
        lane = await find(agentId, plugin);
      }
      if (lane === undefined) throw new Fault("database", "a lane that was written is not there");
      if (lane.customerId !== key.customerId) throw new Fault("wrong_agent");
      return lane;
    },
    async byId(id) {
      const known = byNumber.get(id);
      if (known !== undefined) return known;
      const [row] = await db.query.select(columns).from(lanes).where(eq(lanes.id, id)).limit(1);
      return remember(row);
    },
  };
}
