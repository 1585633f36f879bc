import { placesPerEntry } from "#lib/delivery";
import type { Db } from "../db/index.ts";
import type { MessageState } from "./message-state.ts";
import { type MessageRow, type MessageScope, messageRows } from "./repo.ts";

export interface MessageFilter extends MessageScope {
  readonly state?: MessageState | undefined;
  /** Only messages with a lower place: newest first. */
  readonly before?: number | undefined;
}

/** Entries that are not wholly applied: what is open is found without a walk over all that is done. */
const openEntries = `SELECT e.id FROM push_entries e WHERE e.lane = n.id AND (e.seq IS NULL OR e.seq >= coalesce(
  (SELECT w.applied / ${placesPerEntry} FROM lane_streams w WHERE w.lane = n.id ORDER BY w.at DESC LIMIT 1), 0))`;

/** At most `limit` messages, newest first. */
export function listMessages(db: Db, filter: MessageFilter, limit: number): Promise<MessageRow[]> {
  const conditions: string[] = [];
  const params: (string | number)[] = [];
  const { state } = filter;
  if (state === "dead" || state === "unknown") {
    conditions.push("m.outcome = ?");
    params.push(state);
  }
  if (state === "queued" || state === "stored") conditions.push(`m.outcome IS NULL AND e.id IN (${openEntries})`);
  if (state !== undefined) {
    conditions.push("state = ?"); // the query's own column: SQLite knows it in WHERE
    params.push(state);
  }
  if (filter.before !== undefined) {
    conditions.push("m.place < ?");
    params.push(filter.before);
  }
  return messageRows(db, filter, conditions, params, `ORDER BY m.place DESC LIMIT ${Math.trunc(limit)}`);
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
  return db.read<LaneDepth>(
    `SELECT n.plugin, ${behind("stored")} AS queued, ${behind("applied")} - ${behind("stored")} AS stored,
        max(s.at) AS at, max(s.waiting) AS waiting
      FROM lanes n LEFT JOIN push_entries e ON e.id IN (${openEntries})
        LEFT JOIN lane_streams s ON s.lane = n.id AND s.stream = e.stream
      WHERE n.agent_id = ? AND n.plugin <> '$node' GROUP BY n.id ORDER BY n.plugin`,
    [agentId],
  );
}
