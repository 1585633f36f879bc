import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { time } from "../db/index.ts";

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
  },
  (table) => [
    primaryKey({ columns: [table.minute, table.address, table.code, table.subject, table.verified] }),
    index("refusals_by_subject").on(table.subject, table.minute),
  ],
);

/** `jti` of headers that were taken, until time alone refuses them. */
export const usedHeaders = sqliteTable(
  "used_headers",
  { id: text().primaryKey(), until: time().notNull() },
  (table) => [index("used_headers_by_time").on(table.until)],
);
