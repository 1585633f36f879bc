import { encodeCbor, hex } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { Db } from "../db/index.ts";
import type { AuditLog } from "./audit-log.ts";

const minuteMs = 60_000;
const minutesMax = 200;
const rowsMax = 100_000;

/** A table of counts per minute (`minute`, …, `count`) that enters the chain as one digest a minute. */
export interface CountedTable {
  /** Of the summary: `kms.used`. */
  readonly action: string;
  readonly table: "kms_uses" | "refusals";
  /** Columns that make a row, in the order that the digest has them. */
  readonly columns: readonly string[];
}

export const countedTables: readonly CountedTable[] = [
  { action: "kms.used", table: "kms_uses", columns: ["operation", "key", "purpose", "count"] },
  { action: "openings.refused", table: "refusals", columns: ["address", "code", "subject", "verified", "count"] },
];

export interface SummaryDeps {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
}

/**
 * Brings every minute that is over into the chain: its total, its number of rows, and SHA-256 of the rows. So the rows can't be
 * changed unseen, and a flood makes one entry a minute. Called again, or by two replicas at once, it adds nothing.
 */
export async function writeSummaries(deps: SummaryDeps): Promise<void> {
  const over = deps.clock.now() - minuteMs;
  for (const counted of countedTables) {
    const minutes = await deps.db.read<{ minute: number }>(
      `SELECT DISTINCT minute FROM ${counted.table} AS t WHERE minute < ? AND NOT EXISTS
        (SELECT 1 FROM audit_summaries AS s WHERE s.source = ? AND s.minute = t.minute) ORDER BY minute LIMIT ?`,
      [over - (over % minuteMs), counted.table, minutesMax],
    );
    for (const { minute } of minutes) await writeSummary(deps, counted, minute);
  }
}

async function writeSummary(
  deps: SummaryDeps,
  { action, table, columns }: CountedTable,
  minute: number,
): Promise<void> {
  const { digest, rows, total } = await digestOf(deps, { table, columns }, minute);
  const detail = { source: table, minute, rows, total, sha256: digest };
  const mark = {
    sql: "INSERT INTO audit_summaries (source, minute, entry) SELECT ?, ?, coalesce(max(number), 0) FROM audit_entries",
    params: [table, minute],
  };
  try {
    await deps.audit.record({ actor: "solaris", action, detail }, mark);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "conflict") throw error; // another replica was faster
  }
}

/** What a summary says of a minute's rows; compared with the entry when the log is verified. */
export async function digestOf(
  { db, suite }: Pick<SummaryDeps, "db" | "suite">,
  { table, columns }: Pick<CountedTable, "table" | "columns">,
  minute: number,
): Promise<{ digest: string; rows: number; total: number }> {
  const names = columns.join(", ");
  const rows = await db.read<Record<string, string | number>>(
    `SELECT ${names} FROM ${table} WHERE minute = ? ORDER BY ${names} LIMIT ?`,
    [minute, rowsMax],
  );
  const values = rows.map((row) => columns.map((column) => row[column] ?? null));
  const total = rows.reduce((sum, row) => sum + Number(row.count), 0);
  return { digest: hex(await suite.sha256(encodeCbor(values))), rows: rows.length, total };
}
