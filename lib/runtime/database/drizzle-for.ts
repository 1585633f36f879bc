import { drizzle, type SqliteRemoteDatabase } from "drizzle-orm/sqlite-proxy";
import type { Database, SqlParameter, Statement } from "./database.ts";

/** Drizzle over `database` for typed reads. What it executes goes out as a read or as a set of one; `transaction()` is forbidden by lint. */
export function drizzleFor<Schema extends Record<string, unknown> = Record<string, never>>(
  database: Database,
  schema?: Schema,
): SqliteRemoteDatabase<Schema> {
  const typed = drizzle<Schema>(
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
  throwFaultsAsTheyAre(typed);
  return typed;
}

interface PreparedQuery {
  queryWithCache<T>(sql: string, params: unknown, run: () => Promise<T>): Promise<T>;
}

/**
 * Drizzle wraps what a query throws into an error whose message holds every parameter, secrets and payloads included. There is no
 * option against it, so the one method that does it is replaced: our Faults come out as they went in.
 */
function throwFaultsAsTheyAre(typed: object): void {
  const { session } = typed as { session: { prepareQuery(...parts: unknown[]): PreparedQuery } }; // internal in its types
  const prepare = session.prepareQuery.bind(session);
  session.prepareQuery = (...parts) => Object.assign(prepare(...parts), { queryWithCache: passThrough });
}

const passThrough: PreparedQuery["queryWithCache"] = (_sql, _params, run) => run();

/** A drizzle query (insert, update, delete) as a statement of a set. `expect`: see `Statement.expect`. */
export function toStatement(query: { toSQL(): { sql: string; params: unknown[] } }, expect?: number): Statement {
  const { sql, params } = query.toSQL();
  // Drizzle has mapped every parameter to what the driver binds; openDatabase checks each again.
  const statement = { sql, params: params as SqlParameter[] };
  return expect === undefined ? statement : { ...statement, expect };
}
