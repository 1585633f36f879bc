import { placesPerEntry } from "#lib/delivery";
import { idempotencyKeyLifeMs, sealedUpAgeMaxMs } from "#lib/limits";
import type { SqlParameter } from "#lib/runtime";
import type { Retention } from "./settings.ts";

/** Rows that may go: `DELETE … WHERE key IN (SELECT key … WHERE … ORDER BY … LIMIT n)`. */
export interface PurgeRule {
  readonly table: string;
  /** Column that names a row. */
  readonly key: string;
  readonly where: string;
  readonly params: readonly SqlParameter[];
  readonly order: string;
}

/**
 * Rows of a table whose keys rise with time, that are older than `?`: found from the first row that is not, so that a table
 * without old rows costs one look. A blob stands above every other key (SQLite's order of types).
 */
const older = (table: string, key: string, column: string) =>
  `${key} < coalesce((SELECT o.${key} FROM ${table} o WHERE o.${column} >= ? ORDER BY o.${key} LIMIT 1), x'')`;

/** Messages whose entry is old enough and that wait for nothing: applied at their site, or with an outcome. */
const doneMessages = `place < coalesce((SELECT e.id FROM push_entries e WHERE e.created_at >= ? ORDER BY e.id LIMIT 1) * ${placesPerEntry}, x'')
  AND (outcome IN ('applied', 'dead') OR EXISTS (SELECT 1 FROM push_entries e JOIN lane_streams s ON s.lane = e.lane AND s.stream = e.stream
    WHERE e.id = messages.place / ${placesPerEntry} AND e.seq * ${placesPerEntry} + messages.place % ${placesPerEntry} <= s.applied
      AND messages.outcome IS NULL))`;

/** Entries that no message refers to any more. */
const emptyEntries = `${older("push_entries", "id", "created_at")} AND seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM messages m
  WHERE m.place >= push_entries.id * ${placesPerEntry} AND m.place < (push_entries.id + 1) * ${placesPerEntry})`;

/** What is purged at `nowMs`. The rules of all slices stand here: one place tells how long anything lives. */
export function purgeRules(retention: Retention, nowMs: number): PurgeRule[] {
  /** `order` = column: the table has an index on it. */
  const byTime = (table: string, key: string, column: string, lifeMs: number): PurgeRule => ({
    table,
    key,
    where: `${column} < ?`,
    params: [nowMs - lifeMs],
    order: column,
  });
  const inOrder = (table: string, key: string, column: string, lifeMs: number): PurgeRule => ({
    table,
    key,
    where: older(table, key, column),
    params: [nowMs - lifeMs],
    order: key,
  });
  const messagesBefore = [nowMs - retention.messagesMs];
  return [
    { table: "messages", key: "place", where: doneMessages, params: messagesBefore, order: "place" },
    { table: "push_entries", key: "id", where: emptyEntries, params: messagesBefore, order: "id" },
    inOrder("received", "seq", "at", retention.receivedMs),
    inOrder("letters", "id", "stored_at", retention.deadLettersMs),
    inOrder("quarantine", "id", "at", retention.quarantineMs),
    inOrder("lane_progress", "id", "at", retention.progressMs),
    inOrder("commands", "id", "created_at", retention.commandsMs),
    { ...byTime("rate_windows", "rowid", "minute", 0), params: [Math.floor(nowMs / 60_000) - 2], order: "rowid" },
    {
      ...byTime("plugin_versions", "rowid", "created_at", retention.historyMs),
      where: `created_at < ? AND version < (SELECT p.version FROM plugins p
        WHERE p.agent_id = plugin_versions.agent_id AND p.name = plugin_versions.name)`,
    },
    {
      ...byTime("desired_states", "rowid", "created_at", retention.historyMs),
      where: `created_at < ? AND number < (SELECT max(n.number) FROM desired_states n
        WHERE n.agent_id = desired_states.agent_id AND n.statement IS NOT NULL)`,
    },
    byTime("idempotent_answers", "id", "at", idempotencyKeyLifeMs),
    byTime("sealed_ids", "rowid", "at", sealedUpAgeMaxMs),
    byTime("used_headers", "id", "until", 0),
    byTime("openings", "id", "at", retention.attemptsMs),
    byTime("agent_events", "id", "at", retention.attemptsMs),
    {
      ...byTime("platform_warnings", "id", "at", retention.attemptsMs),
      where: "at < ? AND cleared_at IS NOT NULL",
    },
    byTime("kms_uses", "rowid", "minute", retention.attemptsMs),
    byTime("refusals", "rowid", "minute", retention.attemptsMs),
  ];
}
