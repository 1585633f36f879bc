import { and, desc, eq, gt, isNotNull, isNull, lt, sql } from "drizzle-orm";
import { agentIdentities, agents } from "../agents/tables.ts";
import type { Db } from "../db/index.ts";
import { desiredReports, desiredStates, plugins, pluginVersions } from "./tables.ts";

export type PluginRow = typeof plugins.$inferSelect;
export type PluginVersionRow = typeof pluginVersions.$inferSelect;
export type DesiredStateRow = typeof desiredStates.$inferSelect;
export type DesiredReportRow = typeof desiredReports.$inferSelect;
export type { DesiredReportItem } from "./tables.ts";

/** The row of a plugin, deleted ones included. */
export async function pluginRow(db: Db, agentId: string, name: string): Promise<PluginRow | undefined> {
  const where = and(eq(plugins.agentId, agentId), eq(plugins.name, name));
  const [row] = await db.query.select().from(plugins).where(where).limit(1);
  return row;
}

/** Plugins that are wanted. */
export function pluginsOf(db: Db, agentId: string): Promise<PluginRow[]> {
  const where = and(eq(plugins.agentId, agentId), isNull(plugins.deletedAt));
  return db.query.select().from(plugins).where(where).orderBy(plugins.name);
}

/** The newest configuration of each plugin that is wanted, sealed. */
export function wantedVersions(db: Db, agentId: string): Promise<PluginVersionRow[]> {
  return db.query
    .select({ version: pluginVersions })
    .from(plugins)
    .innerJoin(
      pluginVersions,
      and(
        eq(pluginVersions.agentId, plugins.agentId),
        eq(pluginVersions.name, plugins.name),
        eq(pluginVersions.version, plugins.version),
      ),
    )
    .where(and(eq(plugins.agentId, agentId), isNull(plugins.deletedAt)))
    .orderBy(plugins.name)
    .then((rows) => rows.map(({ version }) => version));
}

export async function versionRow(
  db: Db,
  agentId: string,
  name: string,
  version: number,
): Promise<PluginVersionRow | undefined> {
  const where = and(
    eq(pluginVersions.agentId, agentId),
    eq(pluginVersions.name, name),
    eq(pluginVersions.version, version),
  );
  const [row] = await db.query.select().from(pluginVersions).where(where).limit(1);
  return row;
}

/** Versions of a plugin, newest first. */
export function versionsOf(db: Db, agentId: string, name: string, before: number | undefined, limit: number) {
  const { config: _config, ...shown } = columns;
  return db.query
    .select(shown)
    .from(pluginVersions)
    .where(
      and(
        eq(pluginVersions.agentId, agentId),
        eq(pluginVersions.name, name),
        before === undefined ? undefined : lt(pluginVersions.version, before),
      ),
    )
    .orderBy(desc(pluginVersions.version))
    .limit(limit);
}

const columns = {
  version: pluginVersions.version,
  type: pluginVersions.type,
  enabled: pluginVersions.enabled,
  config: pluginVersions.config,
  shown: pluginVersions.shown,
  lane: pluginVersions.lane,
  receiveSchema: pluginVersions.receiveSchema,
  sealing: pluginVersions.sealing,
  restores: pluginVersions.restores,
  deleted: pluginVersions.deleted,
  createdAt: pluginVersions.createdAt,
  createdBy: pluginVersions.createdBy,
};

export const insertVersion = (db: Db, row: PluginVersionRow) => db.query.insert(pluginVersions).values(row);

/** The plugin's newest version; what stood there before is replaced. */
export const putPlugin = (db: Db, row: PluginRow) =>
  db.query
    .insert(plugins)
    .values(row)
    .onConflictDoUpdate({ target: [plugins.agentId, plugins.name], set: row });

export const insertState = (db: Db, row: DesiredStateRow) => db.query.insert(desiredStates).values(row);

export async function newestState(db: Db, agentId: string): Promise<DesiredStateRow | undefined> {
  const [row] = await db.query
    .select()
    .from(desiredStates)
    .where(eq(desiredStates.agentId, agentId))
    .orderBy(desc(desiredStates.number))
    .limit(1);
  return row;
}

/** Number of the newest desired state that is sealed to somebody; 0 = none: what a credential names (PROTOCOL §3). */
export async function desiredNumberOf(db: Db, agentId: string): Promise<number> {
  const sealed = and(eq(desiredStates.agentId, agentId), isNotNull(desiredStates.statement));
  const [row] = await db.query
    .select({ number: desiredStates.number })
    .from(desiredStates)
    .where(sealed)
    .orderBy(desc(desiredStates.number))
    .limit(1);
  return row?.number ?? 0;
}

/** Number of the newest state, sealed or not; 0 = none. */
export async function newestNumber(db: Db, agentId: string): Promise<number> {
  const sql = "SELECT coalesce(max(number), 0) AS number FROM desired_states WHERE agent_id = ?";
  const [row] = await db.read<{ number: number }>(sql, [agentId]);
  return row?.number ?? 0;
}

export const markPublished = (db: Db, agentId: string, number: number, publishedAt: number) =>
  db.query
    .update(desiredStates)
    .set({ publishedAt })
    .where(and(eq(desiredStates.agentId, agentId), eq(desiredStates.number, number)));

/** Agents that have a sealed state, in the order of their ids, behind `after`; with `unpublished` only those to publish. */
export async function agentsWithState(
  db: Db,
  { after, unpublished, limit }: { after: string; unpublished: boolean; limit: number },
): Promise<string[]> {
  const rows = await db.query
    .selectDistinct({ agentId: desiredStates.agentId })
    .from(desiredStates)
    .where(
      and(
        gt(desiredStates.agentId, after),
        isNotNull(desiredStates.statement),
        unpublished ? isNull(desiredStates.publishedAt) : undefined,
      ),
    )
    .orderBy(desiredStates.agentId)
    .limit(limit);
  return rows.map(({ agentId }) => agentId);
}

/** Who a statement for this agent is sealed to; undefined before it has an identity, and once it is revoked. */
export async function recipientOfAgent(db: Db, agentId: string) {
  const [row] = await db.query
    .select({ identifier: agentIdentities.identifier, kid: agentIdentities.kid, x25519: agentIdentities.x25519 })
    .from(agents)
    .innerJoin(agentIdentities, eq(agentIdentities.identifier, agents.identifier))
    .where(and(eq(agents.id, agentId), isNull(agents.revokedAt), isNull(agentIdentities.revokedAt)))
    .limit(1);
  return row;
}

/** Keeps the report when it is of this or a newer number than the one there. */
export const putReport = (db: Db, row: DesiredReportRow) =>
  db.query
    .insert(desiredReports)
    .values(row)
    .onConflictDoUpdate({
      target: desiredReports.agentId,
      set: row,
      setWhere: sql`${desiredReports.number} <= ${row.number}`,
    });

export async function reportOf(db: Db, agentId: string): Promise<DesiredReportRow | undefined> {
  const [row] = await db.query.select().from(desiredReports).where(eq(desiredReports.agentId, agentId)).limit(1);
  return row;
}
