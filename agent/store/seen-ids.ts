import { fromHex, hex, utf8 } from "#lib/bytes";
import { idempotencyKeyLifeMs } from "#lib/limits";
import type { Database, Statement } from "#lib/runtime";

/**
 * A repeated key may be published again under its id for 24 h of broker time (DESIGN §4). Ids are kept in spans of a
 * little more; the span of a message and the one before are asked, so every id is known for at least one span.
 */
export const seenSpanMs = idempotencyKeyLifeMs + 2 * 3_600_000;

const spanOf = (timeMs: number) => Math.floor(timeMs / seenSpanMs);

/** Ids as blobs: 16 bytes where they are 32 hex digits, else their text; told apart by length and a first byte. */
function idHex(id: string): string {
  const short = id.length === 32 && /^[0-9a-f]{32}$/.test(id) ? fromHex(id) : undefined;
  return short === undefined ? `01${hex(utf8(id))}` : hex(short);
}

/** Which of `ids` were stored before in this lane, `timeMs` being when the broker took them, or their sender signed them. */
export async function seenAmong(
  database: Database,
  lane: number,
  timeMs: number,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const span = spanOf(timeMs);
  const byHex = new Map(ids.map((id) => [idHex(id), id]));
  const rows = await database.values(
    `SELECT j.value FROM json_each(?) j CROSS JOIN seen s
     WHERE s.lane = ? AND s.span IN (?, ?, ?) AND s.id = unhex(j.value)`,
    [JSON.stringify([...byHex.keys()]), lane, span - 1, span, span + 1],
  );
  return new Set(rows.flatMap(([found]) => byHex.get(String(found)) ?? []));
}

/** Whether `id` was stored before in this lane, at any time of these. */
export async function seenSince(
  database: Database,
  lane: number,
  id: string,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): Promise<boolean> {
  const [first, last] = [spanOf(fromMs) - 1, spanOf(toMs) + 1];
  const spans = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const rows = await database.values(
    "SELECT 1 FROM json_each(?) j CROSS JOIN seen s WHERE s.lane = ? AND s.span = j.value AND s.id = unhex(?) LIMIT 1",
    [JSON.stringify(spans), lane, idHex(id)],
  );
  return rows.length > 0;
}

/** Statements that remember `ids` of this time. */
export function rememberIds(lane: number, timeMs: number, ids: readonly string[]): Statement[] {
  if (ids.length === 0) return [];
  const span = spanOf(timeMs);
  const sorted = ids.map(idHex).sort(); // near one another in the tree: fewer pages written
  return [
    {
      sql: "INSERT OR IGNORE INTO seen (lane, span, id) SELECT ?, ?, unhex(value) FROM json_each(?)",
      params: [lane, span, JSON.stringify(sorted)],
    },
  ];
}

/** Forgets ids of spans that nothing of `beforeMs` or later can repeat any more; some at a time, so that a commit stays short. */
export function forgetIds(lane: number, beforeMs: number): Statement {
  return {
    sql: "DELETE FROM seen WHERE lane = ? AND span < ? AND id IN (SELECT id FROM seen WHERE lane = ? AND span < ? LIMIT 5000)",
    params: [lane, spanOf(beforeMs) - 1, lane, spanOf(beforeMs) - 1],
  };
}
