import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { PluginHealth } from "#lib/session";
import { json, time } from "../db/index.ts";

/** Sessions that are open, as the digests of their Nexus say. */
export const sessions = sqliteTable(
  "sessions",
  {
    agentId: text("agent_id").notNull(),
    slot: integer().notNull(),
    epoch: integer().notNull(),
    nexus: text().notNull(),
    address: text().notNull(),
    since: time().notNull(),
    seenAt: time("seen_at").notNull(),
    version: text().notNull(),
    platform: text().notNull(),
    hostname: text().notNull(),
    rttLastMs: real("rtt_last_ms"),
    rttP50Ms: real("rtt_p50_ms"),
    rttP99Ms: real("rtt_p99_ms"),
    bytesUp: integer("bytes_up").notNull(),
    bytesDown: integer("bytes_down").notNull(),
  },
  (table) => [primaryKey({ columns: [table.agentId, table.slot] }), index("sessions_by_nexus").on(table.nexus)],
);

/** What is known of an agent beyond its sessions: last health, and when it was on- and offline. */
export const agentPresence = sqliteTable("agent_presence", {
  agentId: text("agent_id").primaryKey(),
  online: integer({ mode: "boolean" }).notNull(),
  /** Since when it is on- or offline. */
  since: time().notNull(),
  lastSeenAt: time("last_seen_at").notNull(),
  address: text().notNull(),
  version: text().notNull(),
  platform: text().notNull(),
  hostname: text().notNull(),
  /** Whether the last probe along the data's path succeeded: it came through the session, and every plugin reached its system. */
  well: integer({ mode: "boolean" }).notNull(),
  wellSince: time("well_since").notNull(),
  /** Sum of the times it was well before `wellSince`, ms. */
  wellMs: integer("well_ms").notNull(),
  /** When the last probe was heard of, by this side's clock. */
  probedAt: time("probed_at"),
  healthAt: time("health_at"),
  desired: integer(),
  plugins: json<PluginHealth[]>(),
  /** Which plugins are well, in one text: what a change of is history. */
  pluginStates: text("plugin_states"),
});

/** What is wrong with the platform itself, and what was: one row from its beginning to its end. */
export const platformWarnings = sqliteTable(
  "platform_warnings",
  {
    id: text().primaryKey(),
    kind: text().$type<"broker-filling">().notNull(),
    /** What it is about: the name of a stream. */
    subject: text().notNull(),
    at: time().notNull(),
    detail: json<Readonly<Record<string, string | number>>>().notNull(),
    clearedAt: time("cleared_at"),
  },
  (table) => [
    uniqueIndex("platform_warnings_open").on(table.kind, table.subject).where(sql`cleared_at IS NULL`),
    index("platform_warnings_by_time").on(table.at),
  ],
);

/** What changed about an agent, when: never what was merely heard again. */
export const agentEvents = sqliteTable(
  "agent_events",
  {
    id: text().primaryKey(),
    agentId: text("agent_id").notNull(),
    at: time().notNull(),
    kind: text().notNull(),
    detail: json<Readonly<Record<string, string | number | boolean | null>>>().notNull(),
  },
  (table) => [index("agent_events_by_agent").on(table.agentId, table.id), index("agent_events_by_time").on(table.at)],
);
