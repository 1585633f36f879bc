import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { bytes, sealed, time } from "../db/index.ts";
import type { Outcome } from "./message-state.ts";

/**
 * What went to the broker as one entry. Written before the publish with the sealed entry itself, which is what another
 * process publishes again when this one dies before it wrote `stream` and `seq`; emptied then.
 */
export const pushEntries = sqliteTable(
  "push_entries",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    /** Id of the entry at the broker: the same one at every publish. */
    token: text().notNull().unique(),
    lane: integer().notNull(),
    count: integer().notNull(),
    createdAt: time("created_at").notNull(),
    /** Until then another process leaves it alone. */
    heldUntil: time("held_until").notNull(),
    stream: text(),
    seq: integer(),
    entry: sealed(),
  },
  (table) => [
    index("push_entries_by_lane").on(table.lane, table.id),
    index("push_entries_by_place").on(table.lane, table.stream, table.seq),
    index("push_entries_unplaced").on(table.heldUntil).where(sql`seq IS NULL`),
  ],
);

/** A message down. Its state is not here: it follows from its place and the site's watermark (`stateOf`). */
export const messages = sqliteTable(
  "messages",
  {
    /** `push_entries.id * placesPerEntry + index`: rows of an entry lie side by side. */
    place: integer().primaryKey(),
    id: text().notNull(),
    lane: integer().notNull(),
    size: integer().notNull(),
    contentType: text("content_type"),
    /** SHA-256 of content type and body, where a key could bring the same id again. */
    bodyHash: bytes("body_hash"),
    replays: text(),
    outcome: text().$type<Outcome>(),
    code: text(),
    reason: text(),
    tries: integer(),
    outcomeAt: time("outcome_at"),
  },
  (table) => [
    uniqueIndex("messages_by_id").on(table.id, table.lane),
    index("messages_by_outcome").on(table.outcome, table.place).where(sql`outcome IS NOT NULL`),
  ],
);

/** A message that its site gave up, or whose outcome can't be known: whole, as it travelled up again. */
export const letters = sqliteTable(
  "letters",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    lane: integer().notNull(),
    kind: text().$type<"dead" | "unknown">().notNull(),
    /** Null when what the site found was no message. */
    message: text(),
    code: text().notNull(),
    reason: text(),
    tries: integer(),
    position: integer(),
    contentType: text("content_type"),
    size: integer().notNull(),
    at: time().notNull(),
    storedAt: time("stored_at").notNull(),
    /** What a person did about it. */
    settled: text().$type<"retry" | "applied" | "dead" | "replayed">(),
    settledAt: time("settled_at"),
    replay: text(),
    /** Names the row for its seal: the lane, generation and number that it came with. */
    origin: text().notNull().unique(),
    body: sealed().notNull(),
  },
  (table) => [index("letters_by_lane").on(table.lane, table.id), index("letters_by_message").on(table.message)],
);

/** What came up, entry by entry as ingest took it: `(seq, index)` is the cursor of everyone who reads. */
export const received = sqliteTable(
  "received",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    lane: integer().notNull(),
    generation: integer().notNull(),
    first: integer().notNull(),
    count: integer().notNull(),
    at: time().notNull(),
    /** Deterministic CBOR of `ReceivedItem[]`. */
    items: sealed().notNull(),
  },
  (table) => [index("received_by_lane").on(table.lane, table.seq)],
);

/** How far a reader inside Solaris has come in `received`. */
export const receivedReaders = sqliteTable("received_readers", {
  name: text().primaryKey(),
  seq: integer().notNull(),
});

/** What came up and could not be taken: an entry that is none, a message that does not fit its plugin's schema. */
export const quarantine = sqliteTable(
  "quarantine",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    lane: integer().notNull(),
    kind: text().$type<"entry" | "message">().notNull(),
    code: text().notNull(),
    reason: text().notNull(),
    message: text(),
    contentType: text("content_type"),
    size: integer().notNull(),
    at: time().notNull(),
    /** When its site stored it; null for what is no message of the lane's data, and so can't be released. */
    time: time(),
    origin: text().notNull().unique(),
    body: sealed().notNull(),
    /** What a person decided. */
    settled: text().$type<"released" | "discarded">(),
    settledAt: time("settled_at"),
    /** Sequence of the entry in `received` that it was released as. */
    receivedSeq: integer("received_seq"),
  },
  (table) => [index("quarantine_by_lane").on(table.lane, table.id)],
);

/** Messages that a licence has spent in a minute, over all replicas. */
export const rateWindows = sqliteTable(
  "rate_windows",
  {
    licence: text().notNull(),
    minute: integer().notNull(),
    used: integer().notNull(),
  },
  (table) => [uniqueIndex("rate_windows_key").on(table.licence, table.minute)],
);

/** Ids that came up in sealed lanes: one that comes again is a replay. Kept for as long as an old signature would count. */
export const sealedIds = sqliteTable(
  "sealed_ids",
  {
    lane: integer().notNull(),
    id: text().notNull(),
    at: time().notNull(),
  },
  (table) => [primaryKey({ columns: [table.lane, table.id] }), index("sealed_ids_by_time").on(table.at)],
);
