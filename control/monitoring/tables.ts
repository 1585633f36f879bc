import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { PluginHealth } from "#lib/session";
import { json, time } from "../db/index.ts";

/** Every opening whose MAC held: accepted, or refused with its code. */
export const openings = sqliteTable(
  "openings",
  {
    id: text().primaryKey(),
    agentId: text("agent_id").notNull(),
    at: time().notNull(),
    /** `accepted`, or the fault code of the refusal. */
    outcome: text().notNull(),
    address: text().notNull(),
    gatewayId: text("gateway_id").notNull(),
    nexus: text().notNull(),
    slot: integer().notNull(),
    epoch: integer(),
  },
  (table) => [index("openings_by_agent").on(table.agentId, table.at), index("openings_by_time").on(table.at)],
);

/** Refused openings and enrollments, counted per agent, address, reason and minute. */
export const refusals = sqliteTable(
  "refusals",
  {
    minute: time().notNull(),
    address: text().notNull(),
    code: text().notNull(),
    /** Whose, as the header says: unverified unless `verified`. Empty when it said nothing. */
    subject: text().notNull(),
    verified: integer({ mode: "boolean" }).notNull(),
    count: integer().notNull(),
    summarizedAt: time("summarized_at"),
  },
  (table) => [
    primaryKey({ columns: [table.minute, table.address, table.code, table.subject, table.verified] }),
    index("refusals_by_subject").on(table.subject, table.minute),
    index("refusals_by_summary").on(table.summarizedAt, table.minute),
  ],
);

/** `jti` of headers that were taken, until time alone refuses them. */
export const usedHeaders = sqliteTable(
  "used_headers",
  { id: text().primaryKey(), until: time().notNull() },
  (table) => [index("used_headers_by_time").on(table.until)],
);

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
  /** Sum of the times online before `since`, ms. */
  onlineMs: integer("online_ms").notNull(),
  healthAt: time("health_at"),
  desired: integer(),
  plugins: json<PluginHealth[]>(),
});

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
