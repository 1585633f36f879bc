import { placesPerEntry } from "#lib/delivery";
import type { Db } from "../db/index.ts";
import type { MessageState } from "./message-state.ts";
import { inScope, type MessageRow, type MessageScope, messageRows, type RowsQuery, rowsQuery } from "./repo.ts";

export interface MessageFilter extends MessageScope {
  readonly state?: MessageState | undefined;
  /** Only messages with a lower place: newest first. */
  readonly before?: number | undefined;
}

/**
 * `open(id)`: entries in these lanes of which `behind` does not cover all, in the stream they were published to: a watermark of another
 * life of the stream says nothing of them. Goes from lane to life to entry by `push_entries_by_place`, so it costs what it finds and a step for
 * each lane, however many are done.
 */
function openEntries(scope: MessageScope, behind: "stored" | "applied"): RowsQuery {
  const conditions = inScope(scope);
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.map(({ sql }) => sql).join(" AND ")}`;
  const nextLife = (after: string) =>
    `(SELECT p.stream FROM push_entries p WHERE p.lane = v.lane AND p.stream > ${after} ORDER BY p.stream LIMIT 1)`;
  const sql = `WITH RECURSIVE life(lane, stream) AS (
      SELECT v.lane, ${nextLife("''")} FROM (SELECT n.id AS lane FROM lanes n ${where}) v
      UNION ALL SELECT v.lane, ${nextLife("v.stream")} FROM life v WHERE v.stream IS NOT NULL
    ), open(id) AS (
      SELECT p.id FROM life v LEFT JOIN lane_streams w ON w.lane = v.lane AND w.stream = v.stream CROSS JOIN push_entries p
        ON p.lane = v.lane AND p.stream = v.stream AND p.seq >= coalesce(w.${behind} / ${placesPerEntry}, 0)
      UNION ALL
      SELECT p.id FROM (SELECT n.id AS lane FROM lanes n ${where}) v CROSS JOIN push_entries p ON p.lane = v.lane AND p.stream IS NULL
    )`;
  const params = conditions.flatMap(({ params }) => params);
  return { sql, params: [...params, ...params] };
}

/**
 * `open(id)`: the newest entries of each lane of one agent, as many as can matter when each holds a message at least. Goes from entry to
 * entry by `push_entries_by_lane`, so it costs what is shown, however much others have pushed since.
 */
function newestEntries(scope: MessageScope, before: number | undefined, limit: number): RowsQuery {
  const conditions = inScope(scope);
  const next = (below: string) =>
    `(SELECT p.id FROM push_entries p WHERE p.lane = v.lane AND p.id < ${below} ORDER BY p.id DESC LIMIT 1)`;
  const sql = `WITH RECURSIVE open(id, lane, n) AS (
      SELECT ${next("?")}, v.lane, 1 FROM (SELECT n.id AS lane FROM lanes n WHERE ${conditions.map(({ sql }) => sql).join(" AND ")}) v
      UNION ALL SELECT ${next("v.id")}, v.lane, v.n + 1 FROM open v WHERE v.id IS NOT NULL AND v.n < ?
    )`;
  const behind = before === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(before / placesPerEntry);
  // One more: the entry that `before` lies in may have nothing below it that is asked for.
  return { sql, params: [behind, ...conditions.flatMap(({ params }) => params), limit + 1] };
}

/** The query of a list: what is open, dead or unknown is found without a walk over all that is done. */
export function listQuery(filter: MessageFilter, limit: number): RowsQuery {
  const conditions: RowsQuery[] = [];
  const { state, before } = filter;
  if (state === "dead" || state === "unknown") conditions.push({ sql: "m.outcome = ?", params: [state] });
  const isOpen = state === "queued" || state === "stored";
  if (isOpen) conditions.push({ sql: "m.outcome IS NULL", params: [] });
  if (state !== undefined) conditions.push({ sql: "state = ?", params: [state] }); // the query's own column: SQLite knows it in WHERE
  if (before !== undefined) conditions.push({ sql: "m.place < ?", params: [before] });
  return rowsQuery(filter, {
    open: entriesFor(filter, limit),
    conditions,
    order: `ORDER BY m.place DESC LIMIT ${Math.trunc(limit)}`,
  });
}

/** Where to look, if there is a shorter way than over all messages, newest first. */
function entriesFor(filter: MessageFilter, limit: number): RowsQuery | undefined {
  const { state, before, agentId } = filter;
  if (state === "queued" || state === "stored") return openEntries(filter, state === "queued" ? "stored" : "applied");
  return state === undefined && agentId !== undefined ? newestEntries(filter, before, Math.trunc(limit)) : undefined;
}

/** At most `limit` messages, newest first. */
export function listMessages(db: Db, filter: MessageFilter, limit: number): Promise<MessageRow[]> {
  return messageRows(db, listQuery(filter, limit));
}

/** What waits in one lane, in messages. */
export interface LaneDepth {
  readonly plugin: string;
  /** On their way to the site. */
  readonly queued: number;
  /** Fsynced there, not yet acknowledged by the plugin. */
  readonly stored: number;
  /** When the site last said so; null = never. */
  readonly at: number | null;
  /** Why the lane stands still, as the site says. */
  readonly waiting: string | null;
}

/** How deep the lanes of an agent are, from what was published and what the site has said. */
export function laneDepths(db: Db, agentId: string): Promise<LaneDepth[]> {
  const behind = (mark: string) =>
    `coalesce(sum(max(0, min(e.count, CASE WHEN e.seq IS NULL THEN e.count
      ELSE e.seq * ${placesPerEntry} + e.count - 1 - coalesce(s.${mark}, -1) END))), 0)`;
  const open = openEntries({ agentId }, "applied");
  return db.read<LaneDepth>(
    `${open.sql} SELECT n.plugin, ${behind("stored")} AS queued, ${behind("applied")} - ${behind("stored")} AS stored,
        (SELECT w.at FROM lane_streams w WHERE w.lane = n.id ORDER BY w.at DESC LIMIT 1) AS at,
        (SELECT w.waiting FROM lane_streams w WHERE w.lane = n.id ORDER BY w.at DESC LIMIT 1) AS waiting
      FROM lanes n LEFT JOIN (open CROSS JOIN push_entries e ON e.id = open.id) ON e.lane = n.id
        LEFT JOIN lane_streams s ON s.lane = n.id AND s.stream = e.stream
      WHERE n.agent_id = ? AND n.plugin <> '$node' GROUP BY n.id ORDER BY n.plugin`,
    [...open.params, agentId],
  );
}
