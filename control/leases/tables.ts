import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { time } from "../db/index.ts";

/** Work that one replica does at a time: who, until when, and the fencing number of this holding. */
export const leases = sqliteTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  number: integer().notNull(),
  until: time().notNull(),
});
