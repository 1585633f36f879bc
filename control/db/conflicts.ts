import { getTableName } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { Fault } from "#lib/fault";

/** Whether `error` says that a row with this value of `column` is there already (UNIQUE or PRIMARY KEY). */
export function isDuplicate(error: unknown, column: SQLiteColumn): boolean {
  if (!(error instanceof Fault) || error.code !== "conflict") return false;
  const { constraint } = error.detail;
  return typeof constraint === "string" && constraint.includes(`${getTableName(column.table)}.${column.name}`);
}

/** Whether `error` says that statement `index` of the set did not change the rows it had to. */
export function isUnmet(error: unknown, index: number): boolean {
  return error instanceof Fault && error.code === "conflict" && error.detail.expectation === index;
}
