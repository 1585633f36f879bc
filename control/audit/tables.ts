import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, json, time } from "../db/index.ts";

/** What was done, by whom, to what; each row holds the hash of the one before. */
export const auditEntries = sqliteTable(
  "audit_entries",
  {
    number: integer().primaryKey(),
    time: time().notNull(),
    actor: text().notNull(),
    action: text().notNull(),
    subject: text(),
    customerId: text("customer_id"),
    detail: json<AuditDetail>().notNull(),
    previous: bytes().notNull(),
    hash: bytes().notNull(),
  },
  (table) => [
    index("audit_by_customer").on(table.customerId, table.number),
    index("audit_by_subject").on(table.subject, table.number),
  ],
);

/** Signed heads of the chain: what the authority stands for from then on. */
export const auditCheckpoints = sqliteTable("audit_checkpoints", {
  number: integer().primaryKey(),
  time: time().notNull(),
  statement: text().notNull(),
});

/** Facts of an audit entry: never a secret, token, payload or row value. */
export type AuditDetail = Readonly<Record<string, string | number | boolean | null>>;

/** Uses of keys in KMS per minute, written before the key is taken out. A digest of each minute enters the chain. */
export const kmsUses = sqliteTable(
  "kms_uses",
  {
    minute: time().notNull(),
    operation: text().notNull(),
    /** Name of the key. */
    key: text().notNull(),
    /** For what and for whom: `opening agt_… gtw_… 192.0.2.7`. */
    purpose: text().notNull(),
    count: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.minute, table.operation, table.key, table.purpose] })],
);

/** Minutes whose counted rows (of a table named here) have entered the chain. */
export const auditSummaries = sqliteTable(
  "audit_summaries",
  { source: text().notNull(), minute: time().notNull(), entry: integer().notNull() },
  (table) => [primaryKey({ columns: [table.source, table.minute] })],
);
