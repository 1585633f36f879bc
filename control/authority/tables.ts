import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, time } from "../db/index.ts";

/** The authority's chain, one row for each length it had; the longest counts. Its private keys are in KMS. */
export const authorityChains = sqliteTable("authority_chains", {
  /** Number of changes. */
  length: integer().primaryKey(),
  identifier: text().notNull(),
  chain: bytes().notNull(),
  /** Names in KMS of the last change's keys. */
  signKey: text("sign_key").notNull(),
  agreeKey: text("agree_key").notNull(),
  createdAt: time("created_at").notNull(),
  /** When everything was signed anew and the keys before were destroyed; null while that is to be done. */
  finishedAt: time("finished_at"),
});

/** Revocation lists by number; the highest counts. */
export const revocationLists = sqliteTable("revocation_lists", {
  number: integer().primaryKey(),
  statement: text().notNull(),
  createdAt: time("created_at").notNull(),
});
