import { Fault } from "#lib/fault";
import type { WireFailure } from "./worker-protocol.ts";

/** A statement changed another number of rows than it said. Lives in the database thread only. */
export class ExpectationError extends Error {
  readonly index: number;
  constructor(index: number) {
    super("another number of rows");
    this.index = index;
  }
}

/** The driver's error without anything that could hold a row value: SQLite's code, and the names in a constraint's message. */
export function failureOf(error: unknown): WireFailure {
  if (error instanceof ExpectationError) return { code: "EXPECTATION", expectation: error.index };
  if (error instanceof RangeError || error instanceof TypeError) return { code: `BUG ${error.message}` };
  if (!(error instanceof Error)) return { code: "SQLITE_UNKNOWN" };
  const code = codeOf(error);
  const names =
    /constraint failed: ([A-Za-z0-9_., ]{1,200})/.exec(error.message)?.[1] ?? raisedName(code, error.message);
  return names === undefined ? { code } : { code, constraint: names };
}

/** The name that a trigger of ours gave to `RAISE`, when that is all the message is. */
function raisedName(code: string, message: string): string | undefined {
  return code === "SQLITE_CONSTRAINT_TRIGGER" ? /^[a-z_]{1,64}$/.exec(message)?.[0] : undefined;
}

/** Most exact code that the driver gives: the extended one where there is one. */
function codeOf(error: Error): string {
  const extended = "extendedCode" in error ? error.extendedCode : undefined;
  if (typeof extended === "string" && extended !== "") return extended;
  const code = "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "SQLITE_UNKNOWN";
}

/** Whether the transaction is lost for a reason that lies in one set alone, so that the others may go again. */
export function isBusy(code: string): boolean {
  return code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED");
}

/** The one place where a database failure becomes a Fault (or, for a caller's bug, a TypeError). */
export function faultOf(failure: WireFailure): Error {
  const { code, constraint } = failure;
  if (code.startsWith("BUG ")) return new TypeError(code.slice(4));
  if (code === "EXPECTATION") {
    const detail = { expectation: failure.expectation ?? 0 };
    return new Fault("conflict", "a statement changed another number of rows than expected", { detail });
  }
  const detail = constraint === undefined ? { sqlite: code } : { sqlite: code, constraint };
  if (/^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY|ROWID|FOREIGNKEY|TRIGGER)/.test(code))
    return new Fault("conflict", "the write conflicts with a stored row", { detail });
  if (code.startsWith("SQLITE_CONSTRAINT")) return new Fault("invalid", "a column refused its value", { detail });
  if (code.startsWith("SQLITE_FULL")) return new Fault("disk_full", undefined, { detail });
  if (code.startsWith("SQLITE_NOTADB")) return new Fault("database_key", "no database under this key", { detail });
  if (isBusy(code)) return new Fault("database", "another process holds the database", { detail });
  if (code === "CLOSED") return new Fault("closed", "the database is closed");
  return new Fault("database", `the database failed with ${code}`, { detail });
}
