import { drizzle, type SqliteRemoteDatabase } from "drizzle-orm/sqlite-proxy";
import type { Database, SqlParameter, Statement } from "./database.ts";

/** Drizzle over `database` for typed reads. What it executes goes out as a read or as a set of one; `transaction()` is forbidden by lint. */
export function drizzleFor<Schema extends Record<string, unknown> = Record<string, never>>(
  database: Database,
  schema?: Schema,
): SqliteRemoteDatabase<Schema> {
  return drizzle<Schema>(
    async (sql, params, method) => {
      if (method === "run") {
        await database.write([{ sql, params }]);
        return { rows: [] };
      }
      const reads = /^\s*(select|with|values|pragma|explain)\b/i.test(sql);
      const rows = reads
        ? await database.values(sql, params)
        : ((await database.write([{ sql, params }]))[0]?.rows ?? []).map((row) => Object.values(row));
      // For `get` drizzle takes `rows` itself as the row; undefined (no row) is what its types leave out.
      return { rows: method === "get" ? (rows[0] as unknown[]) : rows };
    },
    schema === undefined ? {} : { schema },
  );
}

/** A drizzle query (insert, update, delete) as a statement of a set. `expect`: see `Statement.expect`. */
export function toStatement(query: { toSQL(): { sql: string; params: unknown[] } }, expect?: number): Statement {
  const { sql, params } = query.toSQL();
  // Drizzle has mapped every parameter to what the driver binds; openDatabase checks each again.
  const statement = { sql, params: params as SqlParameter[] };
  return expect === undefined ? statement : { ...statement, expect };
}
