import { and, desc, eq, lt, sql } from "drizzle-orm";
import type { Db, Query } from "../db/index.ts";
import { refusals } from "./tables.ts";

const minuteMs = 60_000;

/** One refusal, or several alike. */
export interface Refusal {
  readonly at: number;
  readonly address: string;
  readonly code: string;
  /** Agent id when `verified`, else what the other side claimed to be; empty when it said nothing. */
  readonly subject: string;
  readonly verified: boolean;
  readonly count: number;
}

/** Counts a refusal in its minute. */
export const countRefusal = (db: Db, { at, address, code, subject, verified, count }: Refusal): Query =>
  db.query
    .insert(refusals)
    .values({ minute: at - (at % minuteMs), address, code, subject, verified, count })
    .onConflictDoUpdate({
      target: [refusals.minute, refusals.address, refusals.code, refusals.subject, refusals.verified],
      set: { count: sql`${refusals.count} + ${count}` },
    });

/** Refusals of one subject (an agent's id, or an identifier that it claimed), the newest minutes first. */
export function refusalsOf(db: Db, subject: string, before: number, limit: number) {
  return db.query
    .select()
    .from(refusals)
    .where(and(eq(refusals.subject, subject), lt(refusals.minute, before)))
    .orderBy(desc(refusals.minute))
    .limit(limit);
}
