import { and, asc, desc, eq, gt, inArray, isNull, lt, notExists } from "drizzle-orm";
import type { Db } from "../db/index.ts";
import { portalNodes, portals } from "../portals/tables.ts";
import { policies, policyVersions } from "./tables.ts";

export type PolicyRow = typeof policies.$inferSelect;
export type PolicyVersionRow = typeof policyVersions.$inferSelect;

/** The row of a policy, deleted ones included. */
export async function policyById(db: Db, id: string): Promise<PolicyRow | undefined> {
  const [row] = await db.query.select().from(policies).where(eq(policies.id, id)).limit(1);
  return row;
}

/** Policies that are not deleted, in the order of their ids. */
export function listPolicies(
  db: Db,
  customerId: string | undefined,
  after: string | undefined,
  limit: number,
): Promise<PolicyRow[]> {
  return db.query
    .select()
    .from(policies)
    .where(
      and(
        isNull(policies.deletedAt),
        customerId === undefined ? undefined : eq(policies.customerId, customerId),
        after === undefined ? undefined : gt(policies.id, after),
      ),
    )
    .orderBy(asc(policies.id))
    .limit(limit);
}

export const insertPolicy = (db: Db, row: PolicyRow) => db.query.insert(policies).values(row);
export const insertPolicyVersion = (db: Db, row: PolicyVersionRow) => db.query.insert(policyVersions).values(row);

/** Replaces the row of exactly this version. */
export const updatePolicy = (db: Db, row: PolicyRow, version: number) =>
  db.query
    .update(policies)
    .set(row)
    .where(and(eq(policies.id, row.id), eq(policies.version, version), isNull(policies.deletedAt)));

/** The same for a row that says it is deleted; only while no portal names it. */
export const endPolicy = (db: Db, row: PolicyRow, version: number) =>
  db.query
    .update(policies)
    .set(row)
    .where(
      and(
        eq(policies.id, row.id),
        eq(policies.version, version),
        isNull(policies.deletedAt),
        notExists(
          db.query
            .select({ id: portals.id })
            .from(portals)
            .where(and(eq(portals.policyId, row.id), isNull(portals.deletedAt))),
        ),
      ),
    );

/** One row while the policy is there: in a write that makes a portal name it, it can't be deleted beside it. */
export const policyIsThere = (db: Db, id: string) =>
  db.query
    .update(policies)
    .set({ id })
    .where(and(eq(policies.id, id), isNull(policies.deletedAt)));

export async function policyVersion(db: Db, policyId: string, version: number): Promise<PolicyVersionRow | undefined> {
  const where = and(eq(policyVersions.policyId, policyId), eq(policyVersions.version, version));
  const [row] = await db.query.select().from(policyVersions).where(where).limit(1);
  return row;
}

/** Versions of a policy, newest first. */
export function versionsOfPolicy(db: Db, policyId: string, before: number | undefined, limit: number) {
  return db.query
    .select()
    .from(policyVersions)
    .where(
      and(eq(policyVersions.policyId, policyId), before === undefined ? undefined : lt(policyVersions.version, before)),
    )
    .orderBy(desc(policyVersions.version))
    .limit(limit);
}

/** Where policies are in force: the portals that name them, each with a node that serves it. */
export function usesOf(db: Db, policyIds: readonly string[]) {
  return db.query
    .select({ policyId: portals.policyId, portalId: portals.id, name: portals.name, agentId: portalNodes.agentId })
    .from(portals)
    .innerJoin(
      portalNodes,
      and(eq(portalNodes.portalId, portals.id), eq(portalNodes.end, "outlet"), eq(portalNodes.wanted, true)),
    )
    .where(and(inArray(portals.policyId, [...policyIds]), isNull(portals.deletedAt)))
    .orderBy(portals.name, portalNodes.agentId);
}

/** Policies of the portals that an agent serves. */
export async function policiesOfAgent(db: Db, agentId: string): Promise<PolicyRow[]> {
  const rows = await db.query
    .selectDistinct({ policy: policies })
    .from(portalNodes)
    .innerJoin(portals, eq(portals.id, portalNodes.portalId))
    .innerJoin(policies, eq(policies.id, portals.policyId))
    .where(
      and(
        eq(portalNodes.agentId, agentId),
        eq(portalNodes.end, "outlet"),
        eq(portalNodes.wanted, true),
        isNull(portals.deletedAt),
        isNull(policies.deletedAt),
      ),
    )
    .orderBy(policies.id);
  return rows.map(({ policy }) => policy);
}
