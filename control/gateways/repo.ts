import { and, desc, eq, gt, isNull, or, sql } from "drizzle-orm";
import type { Bytes } from "#lib/bytes";
import type { Statement } from "#lib/runtime";
import type { Db } from "../db/index.ts";
import { gateways, nexusReplicas } from "./tables.ts";

export type GatewayRow = typeof gateways.$inferSelect;
export type ReplicaRow = typeof nexusReplicas.$inferSelect;

export const insertGateway = (db: Db, row: GatewayRow) => db.query.insert(gateways).values(row);

export async function gatewayById(db: Db, id: string): Promise<GatewayRow | undefined> {
  const [row] = await db.query.select().from(gateways).where(eq(gateways.id, id)).limit(1);
  return row;
}

export async function gatewayByKeyHash(db: Db, keyHash: Bytes): Promise<GatewayRow | undefined> {
  const [row] = await db.query.select().from(gateways).where(eq(gateways.keyHash, keyHash)).limit(1);
  return row;
}

export function listGateways(db: Db, after: string | undefined, limit: number): Promise<GatewayRow[]> {
  return db.query
    .select()
    .from(gateways)
    .where(after === undefined ? undefined : gt(gateways.id, after))
    .orderBy(gateways.id)
    .limit(limit);
}

/** Gateways that serve this customer, its own first. */
export function gatewaysFor(db: Db, customerId: string): Promise<GatewayRow[]> {
  return db.query
    .select()
    .from(gateways)
    .where(and(isNull(gateways.revokedAt), or(isNull(gateways.customerId), eq(gateways.customerId, customerId))))
    .orderBy(sql`${gateways.customerId} IS NULL`, gateways.id)
    .limit(20);
}

export const updateGateway = (db: Db, id: string, change: Partial<Pick<GatewayRow, "name" | "origins" | "keyHash">>) =>
  db.query
    .update(gateways)
    .set(change)
    .where(and(eq(gateways.id, id), isNull(gateways.revokedAt)));

export const revokeGatewayRow = (db: Db, id: string, revokedAt: number) =>
  db.query
    .update(gateways)
    .set({ revokedAt })
    .where(and(eq(gateways.id, id), isNull(gateways.revokedAt)));

/** Registers a replica while its gateway is not revoked: changes one row, or none. */
export const insertReplicaOfLive = (row: ReplicaRow): Statement => ({
  sql: `INSERT INTO nexus_replicas (identifier, gateway_id, hostname, version, started_at, seen_at, expires_at)
    SELECT ?, id, ?, ?, ?, ?, ? FROM gateways WHERE id = ? AND revoked_at IS NULL`,
  params: [row.identifier, row.hostname, row.version, row.startedAt, row.seenAt, row.expiresAt, row.gatewayId],
});

export async function replicaById(db: Db, identifier: string): Promise<ReplicaRow | undefined> {
  const [row] = await db.query.select().from(nexusReplicas).where(eq(nexusReplicas.identifier, identifier)).limit(1);
  return row;
}

export function replicasOf(db: Db, gatewayId: string): Promise<ReplicaRow[]> {
  return db.query
    .select()
    .from(nexusReplicas)
    .where(eq(nexusReplicas.gatewayId, gatewayId))
    .orderBy(desc(nexusReplicas.seenAt))
    .limit(1_000);
}

export const revokeReplicasOf = (db: Db, gatewayId: string, revokedAt: number) =>
  db.query
    .update(nexusReplicas)
    .set({ revokedAt })
    .where(and(eq(nexusReplicas.gatewayId, gatewayId), isNull(nexusReplicas.revokedAt)));

export const touchReplica = (db: Db, identifier: string, seenAt: number) =>
  db.query.update(nexusReplicas).set({ seenAt }).where(eq(nexusReplicas.identifier, identifier));
