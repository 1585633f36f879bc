import { integer, sqliteTable } from "drizzle-orm/sqlite-core";
import { bytes, sealed, time } from "../db/index.ts";

/** The one identity that all replicas send messages with, once there is a sealed plugin. */
export const messengers = sqliteTable("messengers", {
  /** Always 1. */
  one: integer().primaryKey(),
  chain: bytes().notNull(),
  secrets: sealed().notNull(),
  createdAt: time("created_at").notNull(),
});
