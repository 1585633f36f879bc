import type { SqliteRemoteDatabase } from "drizzle-orm/sqlite-proxy";
import { type Database, drizzleFor, type Result, type Statement, toStatement } from "#lib/runtime";

/** A drizzle insert, update or delete that was built and not run. */
export interface Query {
  toSQL(): { sql: string; params: unknown[] };
}

/** Solaris' database as repositories use it. */
export interface Db {
  /** Builds queries. Reads may be awaited directly; what writes goes through `write`, several in one set. */
  readonly query: SqliteRemoteDatabase;
  /** Rows of hand-written SQL by column name, for the few queries that must be one round trip. */
  readonly read: Database["read"];
  /** Applies the set whole or not at all; resolves once it is durable. Fault `conflict` when an `expecting` failed. */
  write(...set: readonly (Statement | Query)[]): Promise<Result[]>;
  /** The same for what nobody waits for: it goes with another commit, 20 ms later at most. */
  writeLater(...set: readonly (Statement | Query)[]): Promise<Result[]>;
}

export function makeDb(database: Database): Db {
  return {
    query: drizzleFor(database),
    read: (sql, params) => database.read(sql, params),
    write: (...set) => database.write(set.map(asStatement)),
    writeLater: (...set) => database.write(set.map(asStatement), { later: true }),
  };
}

/** `query` as a statement that must change exactly `rows` rows, or its whole set is undone (Fault `conflict`). */
export function expecting(rows: number, query: Statement | Query): Statement {
  return "toSQL" in query ? toStatement(query, rows) : { ...query, expect: rows };
}

export function asStatement(query: Statement | Query): Statement {
  return "toSQL" in query ? toStatement(query) : query;
}
