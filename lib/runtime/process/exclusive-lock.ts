import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "#lib/fault";

/**
 * Holds `path` for this process alone until it is disposed or the process is gone, however it ends: SQLite's exclusive
 * file lock, which every platform has and the system itself gives back. Fault `conflict` when another process holds it.
 */
export function exclusiveLock(path: string): Disposable {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new Database(path, { create: true });
  try {
    database.run("PRAGMA busy_timeout = 0");
    database.run("PRAGMA journal_mode = DELETE");
    database.run("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new Fault("conflict", "another process holds the lock", { detail: { path }, cause });
  }
  return { [Symbol.dispose]: () => database.close() };
}
