import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { PolicyRule } from "#lib/policy";
import { customers } from "../customers/tables.ts";
import { json, time } from "../db/index.ts";

/** Policies that are wanted now, or were: the newest version of each. */
export const policies = sqliteTable(
  "policies",
  {
    id: text().primaryKey(),
    customerId: text("customer_id")
      .notNull()
      .references(() => customers.id),
    name: text().notNull(),
    note: text().notNull(),
    version: integer().notNull(),
    rules: json<readonly PolicyRule[]>().notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    updatedAt: time("updated_at").notNull(),
    updatedBy: text("updated_by").notNull(),
    deletedAt: time("deleted_at"),
  },
  (table) => [
    uniqueIndex("policies_by_name").on(table.customerId, table.name).where(sql`deleted_at IS NULL`),
    index("policies_by_customer").on(table.customerId, table.id),
  ],
);

/** Every form that a policy had. Numbers only go up: a rollback is a new one with the old content. */
export const policyVersions = sqliteTable(
  "policy_versions",
  {
    policyId: text("policy_id")
      .notNull()
      .references(() => policies.id),
    version: integer().notNull(),
    name: text().notNull(),
    note: text().notNull(),
    rules: json<readonly PolicyRule[]>().notNull(),
    /** The version that this one brings back. */
    restores: integer(),
    deleted: integer({ mode: "boolean" }).notNull(),
    createdAt: time("created_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [primaryKey({ columns: [table.policyId, table.version] })],
);
