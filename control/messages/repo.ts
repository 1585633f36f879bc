import { and, isNotNull, isNull, lt, sql } from "drizzle-orm";
import { placesPerEntry, positionOf } from "#lib/delivery";
import type { Statement } from "#lib/runtime";
import type { Db, Sealed } from "../db/index.ts";
import type { MessageState, Outcome } from "./message-state.ts";
import { pushEntries } from "./tables.ts";

/** A message with all that its state follows from. */
export interface MessageRow {
  readonly place: number;
  readonly id: string;
  readonly lane: number;
  readonly agentId: string;
  readonly customerId: string;
  readonly plugin: string;
  readonly size: number;
  readonly contentType: string | null;
  /** Lower-case hex; null for a message without a key. */
  readonly bodyHash: string | null;
  readonly replays: string | null;
  readonly outcome: Outcome | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly tries: number | null;
  readonly outcomeAt: number | null;
  readonly createdAt: number;
  readonly stream: string | null;
  readonly position: number | null;
  readonly state: MessageState;
}

type RawRow = Omit<MessageRow, "position"> & { readonly seq: number | null };

/** Whose messages: all of them without a field. */
export interface MessageScope {
  readonly customerId?: string | undefined;
  readonly agentId?: string | undefined;
  readonly plugin?: string | undefined;
}

/** `stateOf` in SQL; a test holds the two together. */
const stateSql = `CASE WHEN m.outcome IS NOT NULL THEN m.outcome
    WHEN e.seq IS NULL OR s.applied IS NULL THEN 'queued'
    WHEN e.seq * ${placesPerEntry} + m.place % ${placesPerEntry} <= s.applied THEN 'applied'
    WHEN e.seq * ${placesPerEntry} + m.place % ${placesPerEntry} <= s.stored THEN 'stored' ELSE 'queued' END`;

const columnsSql = `SELECT m.place, m.id, m.lane, n.agent_id AS agentId, n.customer_id AS customerId, n.plugin, m.size,
    m.content_type AS contentType, CASE WHEN m.body_hash IS NULL THEN NULL ELSE lower(hex(m.body_hash)) END AS bodyHash,
    m.replays, m.outcome, m.code, m.reason, m.tries, m.outcome_at AS outcomeAt, e.created_at AS createdAt, e.stream, e.seq,
    ${stateSql} AS state`;
const joinsSql = "JOIN lanes n ON n.id = m.lane LEFT JOIN lane_streams s ON s.lane = m.lane AND s.stream = e.stream";
const rowSql = `${columnsSql} FROM messages m JOIN push_entries e ON e.id = m.place / ${placesPerEntry} ${joinsSql}`;
/** The same rows, found by walking from entries whose ids `open` holds: SQLite keeps the order of a CROSS JOIN. */
const openRowSql = `${columnsSql} FROM open CROSS JOIN push_entries e ON e.id = open.id CROSS JOIN messages m
  ON m.place >= e.id * ${placesPerEntry} AND m.place < (e.id + 1) * ${placesPerEntry} ${joinsSql}`;

function toRow({ seq, ...raw }: RawRow): MessageRow {
  return { ...raw, position: seq === null ? null : positionOf(seq, raw.place % placesPerEntry) };
}

/** Messages of one lane by id. */
export async function messagesOfLane(db: Db, lane: number, ids: readonly string[]): Promise<MessageRow[]> {
  const rows = await db.read<RawRow>(`${rowSql} WHERE m.lane = ? AND m.id IN (SELECT value FROM json_each(?))`, [
    lane,
    JSON.stringify(ids),
  ]);
  return rows.map(toRow);
}

/** Messages by id, whatever their lane. */
export async function messagesById(db: Db, ids: readonly string[]): Promise<MessageRow[]> {
  const rows = await db.read<RawRow>(`${rowSql} WHERE m.id IN (SELECT value FROM json_each(?))`, [JSON.stringify(ids)]);
  return rows.map(toRow);
}

/** SQL of a list, and its parameters in their order. */
export interface RowsQuery {
  readonly sql: string;
  readonly params: readonly (string | number)[];
}

/** Messages of `scope` that fit all `conditions`; with `open` only those of the entries that this finds. */
export function rowsQuery(
  scope: MessageScope,
  { open, conditions, order }: { open?: RowsQuery | undefined; conditions: readonly RowsQuery[]; order: string },
): RowsQuery {
  const all = [...inScope(scope), ...conditions];
  const where = all.length === 0 ? "" : `WHERE ${all.map(({ sql }) => `(${sql})`).join(" AND ")}`;
  const from = open === undefined ? rowSql : `${open.sql} ${openRowSql}`;
  return {
    sql: `${from} ${where} ${order}`,
    params: [...(open?.params ?? []), ...all.flatMap(({ params }) => params)],
  };
}

export async function messageRows(db: Db, { sql, params }: RowsQuery): Promise<MessageRow[]> {
  return (await db.read<RawRow>(sql, params)).map(toRow);
}

/** Conditions on a lane `n`. */
export function inScope({ customerId, agentId, plugin }: MessageScope): RowsQuery[] {
  const wanted = [
    ["n.customer_id = ?", customerId],
    ["n.agent_id = ?", agentId],
    ["n.plugin = ?", plugin],
  ] as const;
  return wanted.flatMap(([sql, value]) => (value === undefined ? [] : [{ sql, params: [value] }]));
}

/** When the site said that it has a position, and that its plugin acknowledged it; null = not (or no longer known). */
export async function progressTimes(
  db: Db,
  { lane, stream, position }: Pick<MessageRow, "lane" | "stream" | "position">,
): Promise<{ storedAt: number | null; appliedAt: number | null }> {
  const first = (mark: string) =>
    `(SELECT at FROM lane_progress WHERE lane = ? AND stream = ? AND ${mark} >= ? ORDER BY ${mark}, id LIMIT 1)`;
  const at = [lane, stream, position];
  const sql = `SELECT ${first("stored")} AS storedAt, ${first("applied")} AS appliedAt`;
  const [row] = await db.read<{ storedAt: number | null; appliedAt: number | null }>(sql, [...at, ...at]);
  return row ?? { storedAt: null, appliedAt: null };
}

/** What one broker entry reserves. */
export interface Reservation {
  readonly token: string;
  readonly lane: number;
  readonly createdAt: number;
  readonly heldUntil: number;
  readonly entry: Sealed;
  /** In the entry's order. */
  readonly messages: readonly ReservedMessage[];
}

export interface ReservedMessage {
  readonly id: string;
  readonly size: number;
  readonly contentType: string | null;
  /** Lower-case hex. */
  readonly bodyHash: string | null;
  readonly replays: string | null;
  /** The place of the row that is there already: it moves, when it is still as it was. */
  readonly formerPlace: number | undefined;
}

const entryId = "(SELECT id FROM push_entries WHERE token = ?)";

/**
 * Rows of an entry and its messages. Fault `conflict` when an id is taken meanwhile (`constraint`) or a row that should
 * move has moved (`expectation`).
 */
export function reserve(reservation: Reservation): Statement[] {
  const { token, lane, createdAt, heldUntil, entry, messages } = reservation;
  const indexed = messages.map((message, index) => ({ ...message, index }));
  const fresh = indexed.filter(({ formerPlace }) => formerPlace === undefined);
  const rows = fresh.map((row) => [row.index, row.id, row.size, row.contentType, row.bodyHash, row.replays]);
  const moved = indexed.flatMap(({ id, index, formerPlace }): Statement[] =>
    formerPlace === undefined
      ? []
      : [
          {
            sql: `UPDATE messages SET place = ${entryId} * ${placesPerEntry} + ? WHERE place = ? AND id = ? AND outcome IS NULL`,
            params: [token, index, formerPlace, id],
            expect: 1,
          },
        ],
  );
  return [
    {
      sql: "INSERT INTO push_entries (token, lane, count, created_at, held_until, entry) VALUES (?, ?, ?, ?, ?, ?)",
      params: [token, lane, messages.length, createdAt, heldUntil, entry],
    },
    {
      sql: `INSERT INTO messages (place, id, lane, size, content_type, body_hash, replays)
        SELECT ${entryId} * ${placesPerEntry} + (value ->> 0), value ->> 1, ?, value ->> 2, value ->> 3,
          unhex(value ->> 4), value ->> 5 FROM json_each(?)`,
      params: [token, lane, JSON.stringify(rows)],
      expect: fresh.length,
    },
    ...moved,
  ];
}

/** Undoes a reservation that was not published: new rows go, moved ones go back. */
export function release(reservation: Reservation): Statement[] {
  const { token, messages } = reservation;
  const back = messages.flatMap(({ id, formerPlace }, index): Statement[] =>
    formerPlace === undefined
      ? []
      : [
          {
            // Unless its former entry was undone meanwhile: then it goes with this one.
            sql: `UPDATE messages SET place = ? WHERE place = ${entryId} * ${placesPerEntry} + ? AND id = ?
              AND EXISTS (SELECT 1 FROM push_entries WHERE id = ? / ${placesPerEntry})`,
            params: [formerPlace, token, index, id, formerPlace],
          },
        ],
  );
  return [
    ...back,
    {
      sql: `DELETE FROM messages WHERE place >= ${entryId} * ${placesPerEntry} AND place < (${entryId} + 1) * ${placesPerEntry}`,
      params: [token, token],
    },
    { sql: "DELETE FROM push_entries WHERE token = ?", params: [token] },
  ];
}

/** Writes where the broker put the entry; the sealed copy is not needed any more. */
export function place(token: string, stream: string, seq: number): Statement {
  return {
    sql: "UPDATE push_entries SET stream = ?, seq = ?, entry = NULL WHERE token = ?",
    params: [stream, seq, token],
  };
}

/** An entry whose place was never written. */
export interface AbandonedEntry {
  readonly id: number;
  readonly token: string;
  readonly lane: number;
  readonly heldUntil: number;
  readonly entry: Sealed;
}

/** At most `limit` entries that nobody holds any more, oldest first. */
export function abandonedEntries(db: Db, nowMs: number, limit: number): Promise<AbandonedEntry[]> {
  return db.query
    .select({
      id: pushEntries.id,
      token: pushEntries.token,
      lane: pushEntries.lane,
      heldUntil: pushEntries.heldUntil,
      entry: sql<Sealed>`${pushEntries.entry}`.mapWith(pushEntries.entry),
    })
    .from(pushEntries)
    .where(and(isNull(pushEntries.seq), isNotNull(pushEntries.entry), lt(pushEntries.heldUntil, nowMs)))
    .orderBy(pushEntries.id)
    .limit(limit);
}

/** Takes an abandoned entry over until `until`; unmet when somebody else did. */
export function claimEntry({ id, heldUntil }: AbandonedEntry, until: number): Statement {
  return {
    sql: "UPDATE push_entries SET held_until = ? WHERE id = ? AND held_until = ? AND seq IS NULL",
    params: [until, id, heldUntil],
    expect: 1,
  };
}
