import { index, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, sealed, time } from "../db/index.ts";

/** Creating requests by `Idempotency-Key`, written with what they made: a repeat within the key's life gets the same answer. */
export const idempotentAnswers = sqliteTable(
  "idempotent_answers",
  {
    /** API key, method, path and `Idempotency-Key`, hashed. */
    id: text().primaryKey(),
    bodyHash: bytes("body_hash").notNull(),
    at: time().notNull(),
    /** What was made, as JSON; it may hold a secret that is shown once. */
    answer: sealed().notNull(),
  },
  (table) => [index("idempotent_answers_by_time").on(table.at)],
);
