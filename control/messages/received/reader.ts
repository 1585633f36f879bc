import { fromUtf8 } from "#lib/bytes";
import type { Db, Sealed, Seals } from "../../db/index.ts";
import type { Messenger } from "../../messenger/index.ts";
import { receivedKey } from "../ingest/entry-effects.ts";
import { inScope, type MessageScope } from "../repo.ts";
import { received } from "../tables.ts";
import { type Cursor, cursorText } from "./cursor.ts";
import { openForReading, type ReadItem } from "./open-sealed.ts";
import { decodeItems, type ReceivedItem } from "./received-items.ts";

/** A received message as the API shows it: `body` when it is a text, else `bodyBase64`. */
export interface ReceivedMessage {
  readonly cursor: string;
  readonly agentId: string;
  readonly plugin: string;
  readonly id: string;
  /** When the site stored it, by its clock. */
  readonly time: number;
  readonly receivedAt: number;
  readonly contentType: string | null;
  readonly sealed: boolean;
  readonly body?: string;
  readonly bodyBase64?: string;
}

/** A page; `next` is where the following one begins, also when nothing came. */
export interface ReceivedPage {
  readonly items: ReceivedMessage[];
  readonly next: Cursor;
}

interface EntryRow {
  readonly seq: number;
  readonly lane: number;
  readonly agentId: string;
  readonly plugin: string;
  readonly generation: number;
  readonly first: number;
  readonly at: number;
  readonly items: Sealed;
}

/** A stored entry, opened. */
export type ReceivedEntry = Omit<EntryRow, "items"> & { readonly items: readonly ReceivedItem[] };

const entriesPerQuery = 8;
/** A page ends with the message that passes this. */
const pageBytes = 4 * 1_048_576;

/** Messages of `scope` behind `after`, in the order in which they were stored, at most `limit`. */
export async function readReceived(
  deps: { readonly db: Db; readonly seals: Seals; readonly messenger: Messenger },
  scope: MessageScope,
  after: Cursor,
  limit: number,
): Promise<ReceivedPage> {
  const items: ReceivedMessage[] = [];
  let next = after;
  let bytes = 0;
  for (;;) {
    const head = await newestSeq(deps.db);
    const entries = await openEntries(deps, scope, next, entriesPerQuery);
    for (const row of entries) {
      const opened = row.items;
      const from = row.seq === next.seq ? next.index + 1 : 0;
      for (const [index, item] of opened.entries()) {
        if (index < from) continue;
        if (items.length >= limit || bytes >= pageBytes) return { items, next };
        next = { seq: row.seq, index };
        bytes += item.body.length;
        items.push(shown(row, await openForReading(deps.messenger, item), next));
      }
      next = { seq: row.seq, index: Math.max(opened.length - 1, next.seq === row.seq ? next.index : 0) };
    }
    // Nothing of this scope up to the newest: the next reader need not pass over it again.
    if (entries.length < entriesPerQuery)
      return { items, next: head > next.seq ? { seq: head, index: placesMax } : next };
  }
}

const placesMax = 1_023;

/** Sequence of the newest entry; 0 = none. */
export async function newestSeq(db: Db): Promise<number> {
  const [row] = await db.read<{ seq: number }>("SELECT coalesce(max(seq), 0) AS seq FROM received");
  return row?.seq ?? 0;
}

function readEntries(db: Db, scope: MessageScope, after: Cursor, limit: number): Promise<EntryRow[]> {
  const within = inScope(scope);
  return db.read<EntryRow>(
    `SELECT r.seq, r.lane, n.agent_id AS agentId, n.plugin, r.generation, r.first, r.at, r.items
      FROM received r JOIN lanes n ON n.id = r.lane
      WHERE ${["(r.seq > ? OR (r.seq = ? AND r.count > ?))", ...within.map(({ sql }) => sql)].join(" AND ")} ORDER BY r.seq LIMIT ?`,
    [after.seq, after.seq, after.index + 1, ...within.flatMap(({ params }) => params), limit],
  );
}

/** Entries of `scope` behind `after` (the one it is in, too, when more of it follows), opened. */
export async function openEntries(
  deps: { readonly db: Db; readonly seals: Seals },
  scope: MessageScope,
  after: Cursor,
  limit: number,
): Promise<ReceivedEntry[]> {
  const rows = await readEntries(deps.db, scope, after, limit);
  return Promise.all(
    rows.map(async (row) => {
      const opened = await deps.seals.open(received.items, receivedKey(row), row.items);
      return { ...row, items: decodeItems(opened) };
    }),
  );
}

function shown(row: ReceivedEntry, item: ReadItem, cursor: Cursor): ReceivedMessage {
  return {
    cursor: cursorText(cursor),
    agentId: row.agentId,
    plugin: row.plugin,
    id: item.id,
    time: item.time,
    receivedAt: row.at,
    contentType: item.contentType ?? null,
    sealed: item.sealed,
    ...shownBody(item.body),
  };
}

/** A body as JSON can carry it. */
export function shownBody(body: Uint8Array): { body: string } | { bodyBase64: string } {
  try {
    return { body: fromUtf8(body) };
  } catch {
    return { bodyBase64: body.toBase64() }; // not a text: bytes are shown as such
  }
}
