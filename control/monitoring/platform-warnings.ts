import { and, desc, eq, isNotNull, isNull, lt } from "drizzle-orm";
import type { Db } from "../db/index.ts";
import { platformWarnings } from "./tables.ts";

export type PlatformWarningRow = typeof platformWarnings.$inferSelect;

/** Subjects of the warnings of this kind that stand. */
export async function openSubjects(db: Db, kind: PlatformWarningRow["kind"]): Promise<ReadonlySet<string>> {
  const rows = await db.query
    .select({ subject: platformWarnings.subject })
    .from(platformWarnings)
    .where(and(eq(platformWarnings.kind, kind), isNull(platformWarnings.clearedAt)));
  return new Set(rows.map(({ subject }) => subject));
}

/** Begins a warning unless it stands already; whether this call did. */
export async function openPlatformWarning(db: Db, row: PlatformWarningRow): Promise<boolean> {
  const [result] = await db.write(db.query.insert(platformWarnings).values(row).onConflictDoNothing());
  return result?.rowsAffected === 1;
}

/** Ends a warning; whether this call did. */
export async function clearPlatformWarning(
  db: Db,
  { kind, subject }: Pick<PlatformWarningRow, "kind" | "subject">,
  clearedAt: number,
): Promise<boolean> {
  const open = and(
    eq(platformWarnings.kind, kind),
    eq(platformWarnings.subject, subject),
    isNull(platformWarnings.clearedAt),
  );
  const [result] = await db.write(db.query.update(platformWarnings).set({ clearedAt }).where(open));
  return result?.rowsAffected === 1;
}

/** Warnings, the newest first; `open`: only those that still stand, or only the others. */
export function listPlatformWarnings(
  db: Db,
  { open, before }: { readonly open?: boolean | undefined; readonly before?: string | undefined },
  limit: number,
): Promise<PlatformWarningRow[]> {
  const state = open === undefined ? undefined : open ? isNull : isNotNull;
  return db.query
    .select()
    .from(platformWarnings)
    .where(and(state?.(platformWarnings.clearedAt), before === undefined ? undefined : lt(platformWarnings.id, before)))
    .orderBy(desc(platformWarnings.id))
    .limit(limit);
}
