import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import { demandCustomer, type Principal } from "../../access/principal.ts";
import { type Db, makeRemembered } from "../../db/index.ts";
import type { Lane, Lanes } from "../../lanes/index.ts";

/** Where a push goes, and whose allowance it uses. */
export interface PushTarget {
  readonly lane: Lane;
  readonly licence: { readonly id: string; readonly rateLimitRpm: number };
  /** Whether the plugin takes sealed messages only. */
  readonly sealed: boolean;
}

interface TargetRow {
  readonly customerId: string;
  readonly revokedAt: number | null;
  readonly plugin: string | null;
  readonly sealed: number;
  readonly licenceId: string;
  readonly rateLimitRpm: number;
}

/** Finds where pushes go. */
export interface Targets {
  /**
   * The lane behind these names. Faults: `not_found` (no such agent, or another customer's), `unknown_plugin`, `revoked`.
   * A suspended licence is no reason to refuse: what is pushed waits until its sessions open again.
   */
  find(by: Principal, agentId: string, plugin: string): Promise<PushTarget>;
  /** Whether messages of this lane are sealed now, as far as is remembered: the gate decides. */
  sealed(lane: Lane): Promise<boolean>;
  /** Why the gate of this lane was shut; undefined when it would be open now: the switch `sealed` was turned. */
  refusal(lane: Lane, sealed: boolean): Promise<Fault | undefined>;
}

/** What was found counts this long: the gate is what decides, so only a changed allowance is noticed late. */
const rememberedMs = 1_000;
const rememberedMax = 10_000;

export function makeTargets(deps: { readonly db: Db; readonly lanes: Lanes; readonly clock: Clock }): Targets {
  const remembered = makeRemembered<PushTarget>(deps.clock, { forMs: rememberedMs, max: rememberedMax });

  async function read(agentId: string, plugin: string): Promise<TargetRow | undefined> {
    const [row] = await deps.db.read<TargetRow>(
      `SELECT a.customer_id AS customerId, a.revoked_at AS revokedAt, p.name AS plugin, p.sealing IS NOT NULL AS sealed, l.id AS licenceId,
          l.rate_limit_rpm AS rateLimitRpm
        FROM agents a JOIN licences l ON l.id = a.licence_id
          LEFT JOIN plugins p ON p.agent_id = a.id AND p.name = ? AND p.deleted_at IS NULL
        WHERE a.id = ?`,
      [plugin, agentId],
    );
    return row;
  }

  /** Undefined = no such agent. The lane is made when all else is in order. */
  async function look(by: Principal, agentId: string, plugin: string): Promise<PushTarget | undefined> {
    const row = await read(agentId, plugin);
    if (row === undefined) return undefined;
    demandCustomer(by, row.customerId);
    if (row.revokedAt !== null) throw new Fault("revoked");
    if (row.plugin === null) throw new Fault("unknown_plugin");
    const lane = await deps.lanes.of({ customerId: row.customerId, agentId, plugin });
    return { lane, licence: { id: row.licenceId, rateLimitRpm: row.rateLimitRpm }, sealed: row.sealed === 1 };
  }

  return {
    async find(by, agentId, plugin) {
      const target = await remembered.get(`${agentId}/${plugin}`, () => look(by, agentId, plugin));
      if (target === undefined) throw new Fault("not_found");
      demandCustomer(by, target.lane.customerId);
      return target;
    },
    async sealed(lane) {
      const known = await remembered.get(`${lane.agentId}/${lane.plugin}`, async () => {
        const row = await read(lane.agentId, lane.plugin);
        if (row === undefined || row.revokedAt !== null || row.plugin === null) return undefined;
        return { lane, licence: { id: row.licenceId, rateLimitRpm: row.rateLimitRpm }, sealed: row.sealed === 1 };
      });
      return known?.sealed === true; // where there is nothing the gate is shut
    },
    async refusal(lane, sealed) {
      remembered.forget(`${lane.agentId}/${lane.plugin}`);
      const row = await read(lane.agentId, lane.plugin);
      if (row?.revokedAt === null && row.plugin !== null && (row.sealed === 1) !== sealed) return undefined;
      return new Fault(row === undefined || row.revokedAt !== null ? "revoked" : "unknown_plugin");
    },
  };
}

/**
 * Stands first in the set that reserves messages: whatever was true when the request came must be true when its rows are
 * written. Fault `conflict`, `expectation` 0, otherwise.
 */
export function targetGate(lane: Lane, sealed: boolean): Statement {
  return {
    sql: `SELECT 1 FROM agents a JOIN plugins p ON p.agent_id = a.id
      WHERE a.id = ? AND a.revoked_at IS NULL AND p.name = ? AND p.deleted_at IS NULL AND (p.sealing IS NOT NULL) = ?`,
    params: [lane.agentId, lane.plugin, sealed],
    expect: 1,
  };
}
