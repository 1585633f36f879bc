import { and, desc, eq, getTableColumns, isNotNull, isNull, lt } from "drizzle-orm";
import type { Statement } from "#lib/runtime";
import type { Db } from "../../db/index.ts";
import { lanes } from "../../lanes/tables.ts";
import { letters, quarantine } from "../tables.ts";

const laneColumns = { agentId: lanes.agentId, customerId: lanes.customerId, plugin: lanes.plugin };

/** Without bodies: a list of them would be as long as the messages. */
const { body: _letter, ...letterColumns } = getTableColumns(letters);
const { body: _quarantined, ...quarantineColumns } = getTableColumns(quarantine);

interface Filter {
  readonly customerId?: string | undefined;
  readonly agentId?: string | undefined;
  readonly plugin?: string | undefined;
  readonly before?: number | undefined;
}

const inLanes = ({ customerId, agentId, plugin }: Filter) =>
  and(
    customerId === undefined ? undefined : eq(lanes.customerId, customerId),
    agentId === undefined ? undefined : eq(lanes.agentId, agentId),
    plugin === undefined ? undefined : eq(lanes.plugin, plugin),
  );

export function listLetters(
  db: Db,
  filter: Filter & { readonly kind?: "dead" | "unknown" | undefined; readonly open?: boolean | undefined },
  limit: number,
) {
  const { kind, open, before } = filter;
  return db.query
    .select({ ...letterColumns, ...laneColumns })
    .from(letters)
    .leftJoin(lanes, eq(lanes.id, letters.lane))
    .where(
      and(
        inLanes(filter),
        kind === undefined ? undefined : eq(letters.kind, kind),
        open === undefined ? undefined : open ? isNull(letters.settled) : isNotNull(letters.settled),
        before === undefined ? undefined : lt(letters.id, before),
      ),
    )
    .orderBy(desc(letters.id))
    .limit(limit);
}

export async function letterById(db: Db, id: number) {
  const [row] = await db.query
    .select({ ...getTableColumns(letters), ...laneColumns })
    .from(letters)
    .leftJoin(lanes, eq(lanes.id, letters.lane))
    .where(eq(letters.id, id))
    .limit(1);
  return row;
}

export type LetterRow = NonNullable<Awaited<ReturnType<typeof letterById>>>;

export function markReplayed(id: number, replay: string, at: number): Statement {
  return {
    sql: "UPDATE letters SET settled = 'replayed', settled_at = ?, replay = ? WHERE id = ?",
    params: [at, replay, id],
  };
}

export function listQuarantine(db: Db, filter: Filter & { readonly open?: boolean | undefined }, limit: number) {
  const { before, open } = filter;
  return db.query
    .select({ ...quarantineColumns, ...laneColumns })
    .from(quarantine)
    .leftJoin(lanes, eq(lanes.id, quarantine.lane))
    .where(
      and(
        inLanes(filter),
        open === undefined ? undefined : open ? isNull(quarantine.settled) : isNotNull(quarantine.settled),
        before === undefined ? undefined : lt(quarantine.id, before),
      ),
    )
    .orderBy(desc(quarantine.id))
    .limit(limit);
}

export async function quarantineById(db: Db, id: number) {
  const [row] = await db.query
    .select({ ...getTableColumns(quarantine), ...laneColumns })
    .from(quarantine)
    .leftJoin(lanes, eq(lanes.id, quarantine.lane))
    .where(eq(quarantine.id, id))
    .limit(1);
  return row;
}

export type QuarantineRow = NonNullable<Awaited<ReturnType<typeof quarantineById>>>;
