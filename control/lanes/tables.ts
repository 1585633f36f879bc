import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { time } from "../db/index.ts";

/** One agent and one plugin (or `$node`), both directions; short numbers stand for it in rows of messages. */
export const lanes = sqliteTable(
  "lanes",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    customerId: text("customer_id").notNull(),
    agentId: text("agent_id").notNull(),
    plugin: text().notNull(),
    /** How far ingest has come: all numbers of this generation up to this one are stored here. */
    upGeneration: integer("up_generation").notNull().default(0),
    upNumber: integer("up_number").notNull().default(0),
    upAt: time("up_at"),
  },
  (table) => [
    uniqueIndex("lanes_by_name").on(table.agentId, table.plugin),
    index("lanes_by_customer").on(table.customerId, table.id),
  ],
);

/** How far a site has come in a lane, per life of the broker's stream: positions of another life mean nothing. */
export const laneStreams = sqliteTable(
  "lane_streams",
  {
    lane: integer().notNull(),
    stream: text().notNull(),
    stored: integer().notNull(),
    applied: integer().notNull(),
    at: time().notNull(),
    waiting: text(),
  },
  (table) => [primaryKey({ columns: [table.lane, table.stream] })],
);

/** Each report of a lane's progress: when a position was stored at the site, and when applied. Purged by age. */
export const laneProgress = sqliteTable(
  "lane_progress",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    lane: integer().notNull(),
    stream: text().notNull(),
    stored: integer().notNull(),
    applied: integer().notNull(),
    at: time().notNull(),
  },
  (table) => [
    index("lane_progress_by_stored").on(table.lane, table.stream, table.stored),
    index("lane_progress_by_applied").on(table.lane, table.stream, table.applied),
  ],
);
