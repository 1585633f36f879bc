import { and, asc, desc, eq, gt, lt, type SQL } from "drizzle-orm";
import type { Db } from "../db/index.ts";
import { type AuditEntry, type AuditHead, emptyHead } from "./rules.ts";
import { auditCheckpoints, auditEntries } from "./tables.ts";

/** The newest entry's place in the chain. */
export async function readHead(db: Db): Promise<AuditHead> {
  const [head] = await db.query
    .select({ number: auditEntries.number, hash: auditEntries.hash })
    .from(auditEntries)
    .orderBy(desc(auditEntries.number))
    .limit(1);
  return head ?? emptyHead;
}

export interface AuditFilter {
  readonly customerId?: string | undefined;
  readonly subject?: string | undefined;
  readonly action?: string | undefined;
  /** Entries with a lower number than this, newest first. */
  readonly before?: number | undefined;
}

/** At most `limit` entries, newest first. */
export function listEntries(db: Db, filter: AuditFilter, limit: number): Promise<AuditEntry[]> {
  const conditions: SQL[] = [];
  if (filter.customerId !== undefined) conditions.push(eq(auditEntries.customerId, filter.customerId));
  if (filter.subject !== undefined) conditions.push(eq(auditEntries.subject, filter.subject));
  if (filter.action !== undefined) conditions.push(eq(auditEntries.action, filter.action));
  if (filter.before !== undefined) conditions.push(lt(auditEntries.number, filter.before));
  return db.query
    .select()
    .from(auditEntries)
    .where(and(...conditions))
    .orderBy(desc(auditEntries.number))
    .limit(limit);
}

/** At most `limit` entries behind `number`, oldest first: for a walk of the whole chain. */
export function entriesAfter(db: Db, number: number, limit: number): Promise<AuditEntry[]> {
  return db.query
    .select()
    .from(auditEntries)
    .where(gt(auditEntries.number, number))
    .orderBy(asc(auditEntries.number))
    .limit(limit);
}

export function listCheckpoints(db: Db): Promise<{ number: number; time: number; statement: string }[]> {
  return db.query.select().from(auditCheckpoints).orderBy(asc(auditCheckpoints.number));
}

export function insertCheckpoint(db: Db, checkpoint: { number: number; time: number; statement: string }) {
  return db.query.insert(auditCheckpoints).values(checkpoint).onConflictDoNothing();
}

/** Number that the newest checkpoint covers; 0 = none. */
export async function newestCheckpoint(db: Db): Promise<number> {
  const [row] = await db.query
    .select({ number: auditCheckpoints.number })
    .from(auditCheckpoints)
    .orderBy(desc(auditCheckpoints.number))
    .limit(1);
  return row?.number ?? 0;
}
