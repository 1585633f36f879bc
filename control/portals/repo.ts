import { and, asc, eq, gt, inArray, isNull, ne, sql } from "drizzle-orm";
import type { PortalMode } from "#lib/session";
import { agents } from "../agents/tables.ts";
import { customers } from "../customers/index.ts";
import type { Db } from "../db/index.ts";
import { portalNodes, portals } from "./tables.ts";

export type PortalRow = typeof portals.$inferSelect;
export type PortalNodeRow = typeof portalNodes.$inferSelect;

export async function portalById(db: Db, id: string): Promise<PortalRow | undefined> {
  const [row] = await db.query.select().from(portals).where(eq(portals.id, id)).limit(1);
  return row;
}

/** Portals that are not deleted, in the order of their ids. */
export function listPortals(
  db: Db,
  only: { readonly customerId: string | undefined; readonly mode: PortalMode | undefined },
  after: string | undefined,
  limit: number,
): Promise<PortalRow[]> {
  return db.query
    .select()
    .from(portals)
    .where(
      and(
        isNull(portals.deletedAt),
        only.customerId === undefined ? undefined : eq(portals.customerId, only.customerId),
        only.mode === undefined ? undefined : eq(portals.mode, only.mode),
        after === undefined ? undefined : gt(portals.id, after),
      ),
    )
    .orderBy(asc(portals.id))
    .limit(limit);
}

export const insertPortal = (db: Db, row: PortalRow) => db.query.insert(portals).values(row);

/** Replaces the row of exactly this version. */
export const updatePortal = (db: Db, row: PortalRow, version: number) =>
  db.query
    .update(portals)
    .set(row)
    .where(and(eq(portals.id, row.id), eq(portals.version, version), isNull(portals.deletedAt)));

/** Nodes of these portals, the wanted ones. */
export function nodesOf(db: Db, portalIds: readonly string[]): Promise<PortalNodeRow[]> {
  return db.query
    .select()
    .from(portalNodes)
    .where(and(inArray(portalNodes.portalId, [...portalIds]), eq(portalNodes.wanted, true)))
    .orderBy(portalNodes.portalId, portalNodes.end, portalNodes.agentId);
}

/** A node that is wanted; its state has yet to be made. */
export const putNode = (db: Db, row: Pick<PortalNodeRow, "portalId" | "agentId" | "end" | "identifier">) =>
  db.query
    .insert(portalNodes)
    .values({ ...row, wanted: true, statedVersion: 0, statedPolicy: null })
    .onConflictDoUpdate({
      target: [portalNodes.portalId, portalNodes.agentId],
      set: { ...row, wanted: true, statedVersion: 0 },
    });

/** All nodes of a portal but these are not wanted any more. */
export const dropNodes = (db: Db, portalId: string, kept: readonly string[]) =>
  db.query
    .update(portalNodes)
    .set({ wanted: false, statedVersion: 0 })
    .where(
      and(
        eq(portalNodes.portalId, portalId),
        kept.length === 0 ? undefined : sql`${portalNodes.agentId} NOT IN ${[...kept]}`,
      ),
    );

/** Ends of portals that an agent has part in, each with its portal. */
export function portalsOfAgent(
  db: Db,
  agentId: string,
): Promise<{ portal: PortalRow; node: PortalNodeRow; requireE2e: boolean }[]> {
  return db.query
    .select({ portal: portals, node: portalNodes, requireE2e: customers.requireE2e })
    .from(portalNodes)
    .innerJoin(portals, eq(portals.id, portalNodes.portalId))
    .innerJoin(customers, eq(customers.id, portals.customerId))
    .where(and(eq(portalNodes.agentId, agentId), eq(portalNodes.wanted, true), isNull(portals.deletedAt)))
    .orderBy(portals.name);
}

/** The agents at one end of a portal, of those that have an identifier and are not revoked. */
export async function nodesAt(
  db: Db,
  portalId: string,
  end: PortalNodeRow["end"],
): Promise<{ agentId: string; identifier: string }[]> {
  const rows = await db.query
    .select({ agentId: agents.id, identifier: agents.identifier })
    .from(portalNodes)
    .innerJoin(agents, eq(agents.id, portalNodes.agentId))
    .where(
      and(
        eq(portalNodes.portalId, portalId),
        eq(portalNodes.end, end),
        eq(portalNodes.wanted, true),
        isNull(agents.revokedAt),
      ),
    )
    .orderBy(agents.id);
  return rows.flatMap(({ agentId, identifier }) => (identifier === null ? [] : [{ agentId, identifier }]));
}

export interface StaleNode {
  readonly portalId: string;
  readonly agentId: string;
  readonly wanted: number;
  readonly version: number;
  /** Of the policy that its state is to hold; null = none. */
  readonly policy: number | null;
  /** Whether the customer requires `e2e`: 0 or 1. */
  readonly e2eOnly: number;
}

/** Which nodes: those of one portal, of all that name one policy, or all. */
export type StaleFilter = { readonly portalId: string } | { readonly policyId: string } | undefined;

/** Nodes whose desired state was made of an older version of their portal, or of its policy, than the one that is wanted, or when the customer required something else. */
export function staleNodes(db: Db, only: StaleFilter, limit: number): Promise<StaleNode[]> {
  const [where, params] =
    only === undefined
      ? ["", []]
      : "portalId" in only
        ? ["AND p.id = ?", [only.portalId]]
        : ["AND p.policy_id = ?", [only.policyId]];
  const text = `SELECT n.portal_id AS portalId, n.agent_id AS agentId, n.wanted, p.version, l.version AS policy,
      c.require_e2e AS e2eOnly FROM portal_nodes n
    JOIN portals p ON p.id = n.portal_id JOIN customers c ON c.id = p.customer_id
    LEFT JOIN policies l ON l.id = p.policy_id AND n."end" = 'outlet'
    WHERE (n.stated_version < p.version OR n.stated_policy IS NOT l.version OR n.stated_e2e_only <> c.require_e2e) ${where} LIMIT ${limit}`;
  return db.read<StaleNode & Record<string, string | number | null>>(text, params);
}

/** The node's desired state says what the portal was at `version`; one that was not wanted any more is forgotten. */
export const nodeStated = (db: Db, { portalId, agentId, version, policy, e2eOnly }: StaleNode) => [
  db.query
    .delete(portalNodes)
    .where(and(eq(portalNodes.portalId, portalId), eq(portalNodes.agentId, agentId), eq(portalNodes.wanted, false))),
  db.query
    .update(portalNodes)
    .set({ statedVersion: version, statedPolicy: policy, statedE2eOnly: e2eOnly !== 0 })
    .where(and(eq(portalNodes.portalId, portalId), eq(portalNodes.agentId, agentId))),
];

/** Nodes that have another identifier than the states of their portal's other nodes name. */
export function renamedNodes(db: Db): Promise<{ portalId: string; agentId: string; identifier: string | null }[]> {
  const current = sql`CASE WHEN ${agents.revokedAt} IS NULL THEN ${agents.identifier} END`;
  return db.query
    .select({
      portalId: portalNodes.portalId,
      agentId: portalNodes.agentId,
      identifier: sql<string | null>`${current}`,
    })
    .from(portalNodes)
    .innerJoin(agents, eq(agents.id, portalNodes.agentId))
    .where(sql`${portalNodes.identifier} IS NOT ${current}`)
    .limit(200);
}

/** Notes the identifier; the states of the other nodes have to be made anew. */
export const nodeRenamed = (
  db: Db,
  { portalId, agentId, identifier }: { portalId: string; agentId: string; identifier: string | null },
) => [
  db.query
    .update(portalNodes)
    .set({ identifier })
    .where(and(eq(portalNodes.portalId, portalId), eq(portalNodes.agentId, agentId))),
  db.query
    .update(portalNodes)
    .set({ statedVersion: 0 })
    .where(and(eq(portalNodes.portalId, portalId), ne(portalNodes.agentId, agentId))),
];

/** Who has this identifier in a customer, and whether a portal that is switched on joins it to `agentId`. */
export async function reachable(
  db: Db,
  agentId: string,
  customerId: string,
  identifier: string,
): Promise<{ agentId: string; joined: boolean } | undefined> {
  const text = `SELECT a.id AS agentId, EXISTS (SELECT 1 FROM portal_nodes x JOIN portal_nodes y ON y.portal_id = x.portal_id
      JOIN portals p ON p.id = x.portal_id
      WHERE x.agent_id = ? AND y.agent_id = a.id AND x."end" <> y."end" AND x.wanted AND y.wanted
        AND p.mode = 'e2e' AND p.enabled AND p.deleted_at IS NULL) AS joined
    FROM agents a WHERE a.identifier = ? AND a.customer_id = ? AND a.revoked_at IS NULL`;
  const [row] = await db.read<{ agentId: string; joined: number }>(text, [agentId, identifier, customerId]);
  return row === undefined ? undefined : { agentId: row.agentId, joined: row.joined === 1 };
}
