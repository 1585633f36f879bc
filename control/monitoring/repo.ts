import { and, desc, eq, gt, lt, or, sql } from "drizzle-orm";
import { agents } from "../agents/tables.ts";
import type { Db } from "../db/index.ts";
import { nexusReplicas } from "../gateways/tables.ts";
import { agentEvents, agentPresence, sessions } from "./tables.ts";

export type PresenceRow = typeof agentPresence.$inferSelect;
export type SessionRow = typeof sessions.$inferSelect;

/** Sessions that are rows of this replica. */
export function sessionsOfNexus(db: Db, nexus: string) {
  return db.query
    .select({ agentId: sessions.agentId, slot: sessions.slot, epoch: sessions.epoch })
    .from(sessions)
    .where(eq(sessions.nexus, nexus));
}

/** Replicas with open sessions that have not been heard since `before`. */
export function silentReplicas(db: Db, before: number) {
  return db.query
    .selectDistinct({ identifier: nexusReplicas.identifier, seenAt: nexusReplicas.seenAt })
    .from(nexusReplicas)
    .innerJoin(sessions, eq(sessions.nexus, nexusReplicas.identifier))
    .where(lt(nexusReplicas.seenAt, before))
    .limit(100);
}

/** Agents with a session on this replica that must have none, and why. From the few causes to the sessions, not the other way. */
export function mustEnd(db: Db, nexus: string, nowMs: number): Promise<{ agentId: string; code: string }[]> {
  return db.read<{ agentId: string; code: string }>(
    `SELECT DISTINCT s.agent_id AS agentId, 'revoked' AS code FROM agents a JOIN sessions s ON s.agent_id = a.id
       WHERE a.revoked_at IS NOT NULL AND s.nexus = ?
     UNION SELECT s.agent_id, 'held' FROM agents a JOIN sessions s ON s.agent_id = a.id
       WHERE a.held_at IS NOT NULL AND s.nexus = ?
     UNION SELECT s.agent_id, 'suspended' FROM licences l JOIN agents a ON a.licence_id = l.id
       JOIN sessions s ON s.agent_id = a.id WHERE l.suspended_at IS NOT NULL AND s.nexus = ?
     UNION SELECT s.agent_id, 'licence_expired' FROM licences l JOIN agents a ON a.licence_id = l.id
       JOIN sessions s ON s.agent_id = a.id
       WHERE l.suspended_at IS NULL AND (l.valid_until <= ? OR l.valid_from > ?) AND s.nexus = ?
     LIMIT 20000`,
    [nexus, nexus, nexus, nowMs, nowMs, nexus],
  );
}

export async function presenceOf(db: Db, agentId: string): Promise<PresenceRow | undefined> {
  const [row] = await db.query.select().from(agentPresence).where(eq(agentPresence.agentId, agentId)).limit(1);
  return row;
}

export function sessionsOf(db: Db, agentId: string): Promise<SessionRow[]> {
  return db.query.select().from(sessions).where(eq(sessions.agentId, agentId)).orderBy(sessions.slot);
}

/** Place of an event in the history. */
export interface EventPlace {
  readonly at: number;
  readonly id: string;
}

/** Events of an agent, the newest first; `before`: only those behind this one. */
export function eventsOf(db: Db, agentId: string, before: EventPlace | undefined, limit: number) {
  const older =
    before === undefined
      ? undefined
      : or(lt(agentEvents.at, before.at), and(eq(agentEvents.at, before.at), lt(agentEvents.id, before.id)));
  return db.query
    .select()
    .from(agentEvents)
    .where(and(eq(agentEvents.agentId, agentId), older))
    .orderBy(desc(agentEvents.at), desc(agentEvents.id))
    .limit(limit);
}

/** Agents with their presence, by id. */
export function listPresence(
  db: Db,
  filter: { customerId?: string | undefined; online?: boolean | undefined; after?: string | undefined },
  limit: number,
) {
  const { customerId, online, after } = filter;
  return db.query
    .select({ agent: agents, presence: agentPresence })
    .from(agents)
    .leftJoin(agentPresence, eq(agentPresence.agentId, agents.id))
    .where(
      and(
        customerId === undefined ? undefined : eq(agents.customerId, customerId),
        online === undefined ? undefined : eq(sql`coalesce(${agentPresence.online}, 0)`, online ? 1 : 0),
        after === undefined ? undefined : gt(agents.id, after),
      ),
    )
    .orderBy(agents.id)
    .limit(limit);
}

/** How many agents are in which state; of one customer or of all. */
export async function countAgents(db: Db, customerId: string | undefined) {
  const [row] = await db.read<{ pending: number; online: number; offline: number; held: number; revoked: number }>(
    `SELECT coalesce(sum(a.revoked_at IS NULL AND a.identifier IS NULL), 0) AS pending,
      coalesce(sum(a.revoked_at IS NULL AND a.identifier IS NOT NULL AND coalesce(p.online, 0) = 1), 0) AS online,
      coalesce(sum(a.revoked_at IS NULL AND a.identifier IS NOT NULL AND coalesce(p.online, 0) = 0), 0) AS offline,
      coalesce(sum(a.revoked_at IS NULL AND a.held_at IS NOT NULL), 0) AS held,
      coalesce(sum(a.revoked_at IS NOT NULL), 0) AS revoked
    FROM agents a LEFT JOIN agent_presence p ON p.agent_id = a.id WHERE ? IS NULL OR a.customer_id = ?`,
    [customerId ?? null, customerId ?? null],
  );
  return row ?? { pending: 0, online: 0, offline: 0, held: 0, revoked: 0 };
}
