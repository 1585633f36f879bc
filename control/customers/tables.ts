import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Attributes } from "#lib/statement";
import { bytes, json, sealed, time } from "../db/index.ts";

/** A customer: the unit of isolation. Every agent, licence and message has exactly one. */
export const customers = sqliteTable("customers", {
  id: text().primaryKey(),
  name: text().notNull(),
  note: text().notNull(),
  /** Whether its portals may be of mode `e2e` alone. */
  requireE2e: integer("require_e2e", { mode: "boolean" }).notNull().default(false),
  createdAt: time("created_at").notNull(),
  version: integer().notNull(),
});

/** What a customer has bought; the source of most attributes of a credential. */
export const licences = sqliteTable(
  "licences",
  {
    id: text().primaryKey(),
    customerId: text("customer_id")
      .notNull()
      .references(() => customers.id),
    name: text().notNull(),
    keyHash: bytes("key_hash").notNull().unique(),
    key: sealed().notNull(),
    tier: text().notNull(),
    capabilities: json<string[]>().notNull(),
    rateLimitRpm: integer("rate_limit_rpm").notNull(),
    backendAccess: json<string[]>("backend_access").notNull(),
    attributes: json<Attributes>().notNull(),
    validFrom: time("valid_from").notNull(),
    validUntil: time("valid_until"),
    suspendedAt: time("suspended_at"),
    suspendedReason: text("suspended_reason"),
    createdAt: time("created_at").notNull(),
    version: integer().notNull(),
  },
  (table) => [
    index("licences_by_customer").on(table.customerId, table.id),
    index("licences_by_suspension").on(table.suspendedAt),
    index("licences_by_end").on(table.validUntil),
  ],
);
