import { index, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, json, time } from "../db/index.ts";

/** A public gateway: one or many Nexus replicas under one key. */
export const gateways = sqliteTable("gateways", {
  id: text().primaryKey(),
  name: text().notNull(),
  keyHash: bytes("key_hash").notNull().unique(),
  /** Where agents reach it: `https://host[:port]`. What `aud` of a header must be. */
  origins: json<string[]>().notNull(),
  /** A dedicated gateway serves this customer alone. */
  customerId: text("customer_id"),
  createdAt: time("created_at").notNull(),
  revokedAt: time("revoked_at"),
});

/** Identities that replicas made at their starts. */
export const nexusReplicas = sqliteTable(
  "nexus_replicas",
  {
    identifier: text().primaryKey(),
    gatewayId: text("gateway_id")
      .notNull()
      .references(() => gateways.id),
    hostname: text().notNull(),
    version: text().notNull(),
    startedAt: time("started_at").notNull(),
    seenAt: time("seen_at").notNull(),
    expiresAt: time("expires_at").notNull(),
    revokedAt: time("revoked_at"),
  },
  (table) => [index("nexus_replicas_by_gateway").on(table.gatewayId, table.seenAt)],
);
