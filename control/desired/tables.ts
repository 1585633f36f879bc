import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { DesiredPlugin, DesiredReport } from "#lib/session";
import { json, sealed, time } from "../db/index.ts";

/** How a plugin's lane behaves, as the API takes it. */
export type LaneSettings = DesiredPlugin["lane"];

/** Who may send to a sealed plugin beside Solaris, and for whom it seals: agents with the role `service`; null = Solaris. */
export interface SealSettings {
  readonly senders: readonly string[];
  readonly consumer: string | null;
}

/** Plugins that are wanted now, or were: the newest version of each, secrets masked. */
export const plugins = sqliteTable(
  "plugins",
  {
    agentId: text("agent_id").notNull(),
    name: text().notNull(),
    customerId: text("customer_id").notNull(),
    version: integer().notNull(),
    type: text().notNull(),
    enabled: integer({ mode: "boolean" }).notNull(),
    /** Configuration with every secret replaced by the mask: what an answer shows. */
    shown: json<Readonly<Record<string, unknown>>>().notNull(),
    lane: json<LaneSettings>().notNull(),
    /** JSON Schema that received messages must fit; null = anything. */
    receiveSchema: json<unknown>("receive_schema"),
    /** How its messages are sealed; null = they are not. */
    sealing: json<SealSettings>(),
    updatedAt: time("updated_at").notNull(),
    updatedBy: text("updated_by").notNull(),
    deletedAt: time("deleted_at"),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.name] }),
    index("plugins_by_customer").on(table.customerId, table.agentId, table.name),
  ],
);

/** Every configuration that a plugin had. Numbers only go up: a rollback is a new one with the old content. */
export const pluginVersions = sqliteTable(
  "plugin_versions",
  {
    agentId: text("agent_id").notNull(),
    name: text().notNull(),
    version: integer().notNull(),
    type: text().notNull(),
    enabled: integer({ mode: "boolean" }).notNull(),
    shown: json<Readonly<Record<string, unknown>>>().notNull(),
    /** JSON of the whole configuration, secrets included. */
    config: sealed().notNull(),
    lane: json<LaneSettings>().notNull(),
    receiveSchema: json<unknown>("receive_schema"),
    sealing: json<SealSettings>(),
    /** The version that this one brings back. */
    restores: integer(),
    deleted: integer({ mode: "boolean" }).notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.name, table.version] }),
    index("plugin_versions_by_time").on(table.createdAt),
  ],
);

/** Desired states by number. The statement is sealed to the agent: nobody here can open it. */
export const desiredStates = sqliteTable(
  "desired_states",
  {
    agentId: text("agent_id").notNull(),
    number: integer().notNull(),
    /** Identity change that it is sealed to; null (with the statement) before the agent has an identity. */
    kid: text(),
    statement: text(),
    /** Version of each plugin in it, by name. */
    versions: json<Readonly<Record<string, number>>>().notNull(),
    createdAt: time("created_at").notNull(),
    publishedAt: time("published_at"),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.number] }),
    index("desired_states_unpublished").on(table.agentId).where(sql`published_at IS NULL AND statement IS NOT NULL`),
    index("desired_states_by_time").on(table.createdAt),
  ],
);

/** What a node said of the newest desired state that it took. */
export const desiredReports = sqliteTable("desired_reports", {
  agentId: text("agent_id").primaryKey(),
  number: integer().notNull(),
  skipped: integer(),
  items: json<DesiredReportItem[]>().notNull(),
  at: time().notNull(),
});

/** One item of a report, as `lib/session` checked it. */
export interface DesiredReportItem {
  readonly kind: DesiredReport["items"][number]["kind"];
  readonly name: string;
  readonly actual: number;
  readonly wanted: number;
  readonly state: "applied" | "failed" | "removed" | "disabled";
  readonly code?: string | undefined;
  readonly reason?: string | undefined;
}
