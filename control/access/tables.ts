import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, json, time } from "../db/index.ts";
import type { Scope } from "./scopes.ts";

/** Keys of the HTTP API. Of the key itself only SHA-256 is kept: it is 32 random bytes, so there is nothing to guess. */
export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text().primaryKey(),
    name: text().notNull(),
    hash: bytes().notNull().unique(),
    scopes: json<Scope[]>().notNull(),
    customerId: text("customer_id"),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    expiresAt: time("expires_at"),
    revokedAt: time("revoked_at"),
    lastUsedAt: integer("last_used_at"),
  },
  (table) => [index("api_keys_by_customer").on(table.customerId, table.id)],
);
