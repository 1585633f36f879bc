import { and, desc, eq, gt, isNotNull } from "drizzle-orm";
import { agentIdentities } from "../agents/tables.ts";
import type { Db } from "../db/index.ts";
import { nexusReplicas } from "../gateways/tables.ts";
import type { RevokedIdentity } from "./rules.ts";
import { authorityChains, revocationLists } from "./tables.ts";

export type AuthorityRow = typeof authorityChains.$inferSelect;
export type RevocationListRow = typeof revocationLists.$inferSelect;

/** The longest chain. */
export async function newestChain(db: Db): Promise<AuthorityRow | undefined> {
  const [row] = await db.query.select().from(authorityChains).orderBy(desc(authorityChains.length)).limit(1);
  return row;
}

export async function newestLength(db: Db): Promise<number> {
  const [row] = await db.read<{ length: number }>("SELECT coalesce(max(length), 0) AS length FROM authority_chains");
  return row?.length ?? 0;
}

/** All chains that the authority had, the oldest first. */
export const allChains = (db: Db): Promise<AuthorityRow[]> =>
  db.query.select().from(authorityChains).orderBy(authorityChains.length);

export const finishChain = (db: Db, length: number, finishedAt: number) =>
  db.query.update(authorityChains).set({ finishedAt }).where(eq(authorityChains.length, length));

export const insertChain = (db: Db, row: AuthorityRow) => db.query.insert(authorityChains).values(row);

export async function newestList(db: Db): Promise<RevocationListRow | undefined> {
  const [row] = await db.query.select().from(revocationLists).orderBy(desc(revocationLists.number)).limit(1);
  return row;
}

export async function newestListNumber(db: Db): Promise<number> {
  const newest = desc(revocationLists.number);
  const [row] = await db.query
    .select({ number: revocationLists.number })
    .from(revocationLists)
    .orderBy(newest)
    .limit(1);
  return row?.number ?? 0;
}

export const insertList = (db: Db, row: RevocationListRow) => db.query.insert(revocationLists).values(row);

/** All revoked identities that could still show a chain in date at `nowMs`: agents' and replicas'. */
export async function revokedIdentities(db: Db, nowMs: number): Promise<RevokedIdentity[]> {
  const ofAgents = db.query
    .select({
      identifier: agentIdentities.identifier,
      at: agentIdentities.revokedAt,
      reason: agentIdentities.revokedReason,
    })
    .from(agentIdentities)
    .where(and(isNotNull(agentIdentities.revokedAt), gt(agentIdentities.expiresAt, nowMs)));
  const ofReplicas = db.query
    .select({ identifier: nexusReplicas.identifier, at: nexusReplicas.revokedAt })
    .from(nexusReplicas)
    .where(and(isNotNull(nexusReplicas.revokedAt), gt(nexusReplicas.expiresAt, nowMs)));
  const rows = [...(await ofAgents), ...(await ofReplicas).map((row) => ({ ...row, reason: null }))];
  return rows.map(({ identifier, at, reason }) => ({ identifier, at: at ?? 0, reason: reason ?? undefined }));
}
