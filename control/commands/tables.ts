import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { json, sealed, time } from "../db/index.ts";

/** Orders to nodes and their answers. */
export const commands = sqliteTable(
  "commands",
  {
    id: text().primaryKey(),
    customerId: text("customer_id").notNull(),
    agentId: text("agent_id").notNull(),
    name: text().notNull(),
    detail: json<Readonly<Record<string, string>>>().notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    expiresAt: time("expires_at").notNull(),
    answeredAt: time("answered_at"),
    ok: integer({ mode: "boolean" }),
    code: text(),
    reason: text(),
    /** JSON of the answer's result. */
    result: sealed(),
  },
  (table) => [
    index("commands_by_agent").on(table.agentId, table.id),
    index("commands_by_customer").on(table.customerId, table.id),
  ],
);
