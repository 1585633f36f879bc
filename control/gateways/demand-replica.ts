import { Fault } from "#lib/fault";
import type { SliceDeps } from "../api/index.ts";
import { type GatewayRow, type ReplicaRow, replicaById } from "./repo.ts";

/** Fault `revoked` or `identity_unexpected` unless `identifier` is a live replica of this gateway. */
export type DemandReplica = (gateway: GatewayRow, identifier: string) => Promise<void>;

const rememberedMs = 1_000;
const rememberedMax = 1_000;

/** What was found is remembered for a second: thousands of openings come from one replica. */
export function makeDemandReplica({ db, clock }: Pick<SliceDeps, "db" | "clock">): DemandReplica {
  const remembered = new Map<string, { row: ReplicaRow; until: number }>();

  async function find(identifier: string): Promise<ReplicaRow | undefined> {
    const now = clock.monotonic();
    const known = remembered.get(identifier);
    if (known !== undefined && known.until > now) return known.row;
    const row = await replicaById(db, identifier);
    if (remembered.size >= rememberedMax) remembered.clear();
    if (row !== undefined) remembered.set(identifier, { row, until: now + rememberedMs });
    return row;
  }

  return async (gateway, identifier) => {
    const row = await find(identifier);
    if (row === undefined || row.gatewayId !== gateway.id)
      throw new Fault("identity_unexpected", "this identity was not started under this gateway");
    if (row.revokedAt !== null) throw new Fault("revoked");
  };
}
