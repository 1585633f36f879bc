import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { bytes, sealed, time } from "../db/index.ts";

/** Answers to creating requests by `Idempotency-Key`: a repeat within the key's life gets the same answer. */
export const idempotentAnswers = sqliteTable(
  "idempotent_answers",
  {
    /** API key, method, path and `Idempotency-Key`, hashed. */
    id: text().primaryKey(),
    bodyHash: bytes("body_hash").notNull(),
    startedAt: time("started_at").notNull(),
    /** Null while the first request still runs. */
    status: integer(),
    /** The answer's JSON; it may hold a secret that is shown once. */
    answer: sealed(),
  },
  (table) => [index("idempotent_answers_by_time").on(table.startedAt)],
);
