import { and, desc, eq, gt, gte, isNotNull, isNull, lt, min, type SQL } from "drizzle-orm";
import { type LicenceRow, licences } from "../customers/index.ts";
import type { Db } from "../db/index.ts";
import type { AgentState } from "./rules.ts";
import { agentIdentities, agentSlots, agents, enrollmentTokens } from "./tables.ts";

export type AgentRow = typeof agents.$inferSelect;
export type IdentityRow = typeof agentIdentities.$inferSelect;
export type TokenRow = typeof enrollmentTokens.$inferSelect;

export const insertAgent = (db: Db, row: AgentRow) => db.query.insert(agents).values(row);

export async function agentById(db: Db, id: string): Promise<AgentRow | undefined> {
  const [row] = await db.query.select().from(agents).where(eq(agents.id, id)).limit(1);
  return row;
}

export interface AgentFilter {
  readonly customerId?: string | undefined;
  readonly licenceId?: string | undefined;
  readonly state?: AgentState | undefined;
  /** Beginning of the name. */
  readonly name?: string | undefined;
  readonly after?: string | undefined;
}

export function listAgents(db: Db, filter: AgentFilter, limit: number): Promise<AgentRow[]> {
  const conditions: (SQL | undefined)[] = [];
  if (filter.customerId !== undefined) conditions.push(eq(agents.customerId, filter.customerId));
  if (filter.licenceId !== undefined) conditions.push(eq(agents.licenceId, filter.licenceId));
  if (filter.name !== undefined)
    conditions.push(gte(agents.name, filter.name), lt(agents.name, `${filter.name}\u{10ffff}`));
  if (filter.after !== undefined) conditions.push(gt(agents.id, filter.after));
  if (filter.state !== undefined) conditions.push(inState(filter.state));
  return db.query
    .select()
    .from(agents)
    .where(and(...conditions))
    .orderBy(agents.id)
    .limit(limit);
}

function inState(state: AgentState): SQL | undefined {
  if (state === "revoked") return isNotNull(agents.revokedAt);
  const live = isNull(agents.revokedAt);
  if (state === "held") return and(live, isNotNull(agents.heldAt));
  return and(
    live,
    isNull(agents.heldAt),
    state === "pending" ? isNull(agents.identifier) : isNotNull(agents.identifier),
  );
}

/** Changes the row of exactly this version. */
export const updateAgent = (db: Db, { id, version }: Pick<AgentRow, "id" | "version">, change: Partial<AgentRow>) =>
  db.query
    .update(agents)
    .set({ ...change, version: version + 1 })
    .where(and(eq(agents.id, id), eq(agents.version, version)));

export const insertToken = (db: Db, row: TokenRow) => db.query.insert(enrollmentTokens).values(row);

export async function tokenById(db: Db, id: string): Promise<TokenRow | undefined> {
  const [row] = await db.query.select().from(enrollmentTokens).where(eq(enrollmentTokens.id, id)).limit(1);
  return row;
}

/** All tokens of an agent, the newest first. */
export function tokensOf(db: Db, agentId: string): Promise<TokenRow[]> {
  return db.query
    .select()
    .from(enrollmentTokens)
    .where(eq(enrollmentTokens.agentId, agentId))
    .orderBy(desc(enrollmentTokens.createdAt), desc(enrollmentTokens.id))
    .limit(100);
}

/** Ends what was not redeemed. */
export const cancelTokensOf = (db: Db, agentId: string, cancelledAt: number) =>
  db.query
    .update(enrollmentTokens)
    .set({ cancelledAt })
    .where(
      and(
        eq(enrollmentTokens.agentId, agentId),
        isNull(enrollmentTokens.redeemedAt),
        isNull(enrollmentTokens.cancelledAt),
      ),
    );

/** Redeems the token if nobody has and nobody cancelled it: changes one row, or none. */
export const redeemToken = (
  db: Db,
  id: string,
  by: Pick<TokenRow, "redeemedAt" | "redeemedBy" | "address" | "hostname" | "version" | "platform">,
) =>
  db.query
    .update(enrollmentTokens)
    .set(by)
    .where(and(eq(enrollmentTokens.id, id), isNull(enrollmentTokens.redeemedAt), isNull(enrollmentTokens.cancelledAt)));

export const insertIdentity = (db: Db, row: IdentityRow) => db.query.insert(agentIdentities).values(row);

/** When the agent's first identity was enrolled; null = none ever was. */
export async function firstEnrolledAt(db: Db, agentId: string): Promise<number | null> {
  const [row] = await db.query
    .select({ at: min(agentIdentities.enrolledAt) })
    .from(agentIdentities)
    .where(eq(agentIdentities.agentId, agentId));
  return row?.at ?? null;
}

export async function identityById(db: Db, identifier: string): Promise<IdentityRow | undefined> {
  const [row] = await db.query
    .select()
    .from(agentIdentities)
    .where(eq(agentIdentities.identifier, identifier))
    .limit(1);
  return row;
}

/** Changes the row of exactly this version. */
export const updateIdentity = (
  db: Db,
  { identifier, version }: Pick<IdentityRow, "identifier" | "version">,
  change: Partial<IdentityRow>,
) =>
  db.query
    .update(agentIdentities)
    .set({ ...change, version: version + 1 })
    .where(and(eq(agentIdentities.identifier, identifier), eq(agentIdentities.version, version)));

export const revokeIdentity = (db: Db, identifier: string, revokedAt: number, revokedReason: string) =>
  db.query
    .update(agentIdentities)
    .set({ revokedAt, revokedReason, formerKid: null, formerX25519: null })
    .where(and(eq(agentIdentities.identifier, identifier), isNull(agentIdentities.revokedAt)));

/** Takes whatever continuity value comes next; epochs go on. */
export const forgetContinuity = (db: Db, agentId: string) =>
  db.query.update(agentSlots).set({ identifier: "" }).where(eq(agentSlots.agentId, agentId));

/** An identity with all that decides over it. */
export interface Standing {
  readonly identity: IdentityRow;
  readonly agent: AgentRow;
  readonly licence: LicenceRow;
}

/** What is known of an identifier. */
export async function standingOf(db: Db, identifier: string): Promise<Standing | undefined> {
  const [row] = await db.query
    .select()
    .from(agentIdentities)
    .innerJoin(agents, eq(agents.id, agentIdentities.agentId))
    .innerJoin(licences, eq(licences.id, agents.licenceId))
    .where(eq(agentIdentities.identifier, identifier))
    .limit(1);
  return row === undefined ? undefined : { identity: row.agent_identities, agent: row.agents, licence: row.licences };
}
