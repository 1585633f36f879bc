import { and, desc, eq, lt } from "drizzle-orm";
import type { Bytes } from "#lib/bytes";
import type { Statement } from "#lib/runtime";
import { agentSlots } from "../agents/tables.ts";
import type { Db } from "../db/index.ts";
import { openings } from "./tables.ts";

export type OpeningRow = typeof openings.$inferSelect;

/** Fails (UNIQUE) when the header was taken before. */
export const useHeader = (id: string, until: number): Statement => ({
  sql: "INSERT INTO used_headers (id, until) VALUES (?, ?)",
  params: [id, until],
});

export const insertOpening = (row: OpeningRow): Statement => ({
  sql: `INSERT INTO openings (id, agent_id, at, outcome, address, gateway_id, nexus, slot, epoch)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  params: [row.id, row.agentId, row.at, row.outcome, row.address, row.gatewayId, row.nexus, row.slot, row.epoch],
});

/** What the next session of a slot begins with. */
export interface NextSlot {
  readonly agentId: string;
  readonly slot: number;
  readonly identifier: string;
  /** One more than the epoch that was read; 1 when there was none. */
  readonly epoch: number;
  readonly continuity: Bytes;
  /** The value that the header carried. */
  readonly former: Bytes | null;
  /** `readyAt` that was read: continuity was judged by it. */
  readonly readyAtSeen: number | null;
  readonly openedAt: number;
  readonly nexus: string;
}

/**
 * Draws epoch and continuity in one statement: changes one row, or none when the slot, the agent or its identity are no longer
 * what was judged.
 */
export const drawSlot = (next: NextSlot): Statement => ({
  sql: `INSERT INTO agent_slots (agent_id, slot, identifier, epoch, continuity, former_continuity, opened_at, nexus)
    SELECT id, ?, ?, ?, ?, ?, ?, ? FROM agents
    WHERE id = ? AND identifier = ? AND revoked_at IS NULL AND held_at IS NULL
    ON CONFLICT (agent_id, slot) DO UPDATE SET identifier = excluded.identifier, epoch = excluded.epoch,
      continuity = excluded.continuity, former_continuity = excluded.former_continuity,
      opened_at = excluded.opened_at, nexus = excluded.nexus, ready_at = NULL
    WHERE agent_slots.epoch = excluded.epoch - 1 AND agent_slots.ready_at IS ?`,
  params: [
    next.slot,
    next.identifier,
    next.epoch,
    next.continuity,
    next.former,
    next.openedAt,
    next.nexus,
    next.agentId,
    next.identifier,
    next.readyAtSeen,
  ],
  expect: 1,
});

/**
 * The agent has fsynced this epoch: the value before counts no more, and the token that enrolled the identity answers nobody. The
 * first statement changes one row, also when it is said again; none when the slot has another epoch, its agent must not go on, or
 * it was opened at another gateway.
 */
export const readySlot = (
  session: { readonly agentId: string; readonly slot: number; readonly epoch: number },
  gateway: { readonly id: string; readonly customerId: string | null },
  nowMs: number,
): Statement[] => [
  {
    sql: `UPDATE agent_slots SET ready_at = coalesce(ready_at, ?), former_continuity = NULL
      WHERE agent_id = ? AND slot = ? AND epoch = ? AND EXISTS (
        SELECT 1 FROM agents a JOIN licences l ON l.id = a.licence_id
        WHERE a.id = agent_slots.agent_id AND a.identifier = agent_slots.identifier AND a.revoked_at IS NULL
          AND a.held_at IS NULL AND l.suspended_at IS NULL AND l.valid_from <= ?
          AND (l.valid_until IS NULL OR l.valid_until > ?) AND (? IS NULL OR a.customer_id = ?))
        AND EXISTS (SELECT 1 FROM nexus_replicas r WHERE r.identifier = agent_slots.nexus AND r.gateway_id = ?)`,
    params: [
      nowMs,
      session.agentId,
      session.slot,
      session.epoch,
      nowMs,
      nowMs,
      gateway.customerId,
      gateway.customerId,
      gateway.id,
    ],
    expect: 1,
  },
  {
    sql: `UPDATE agent_identities SET opened_at = ? WHERE opened_at IS NULL
      AND identifier = (SELECT identifier FROM agents WHERE id = ?)`,
    params: [nowMs, session.agentId],
  },
];

export async function slotOf(db: Db, agentId: string, slot: number) {
  const [row] = await db.query
    .select()
    .from(agentSlots)
    .where(and(eq(agentSlots.agentId, agentId), eq(agentSlots.slot, slot)))
    .limit(1);
  return row;
}

/** Openings of an agent before this id, the newest first. */
export function openingsOf(db: Db, agentId: string, after: string | undefined, limit: number): Promise<OpeningRow[]> {
  return db.query
    .select()
    .from(openings)
    .where(and(eq(openings.agentId, agentId), after === undefined ? undefined : lt(openings.id, after)))
    .orderBy(desc(openings.id))
    .limit(limit);
}
