import LibsqlDatabase from "libsql";

/**
 * A libSQL server as far as our remote driver uses one: Hrana 2 over HTTP (JSON), `execute` and `batch`, over a database in memory. No such
 * server is to be had from npm or Debian; this one speaks the published protocol
 * (https://github.com/tursodatabase/libsql/blob/main/docs/HRANA_2_SPEC.md) and nothing of our own.
 */
export interface HranaServer extends AsyncDisposable {
  readonly url: string;
}

interface HranaValue {
  readonly type: "null" | "integer" | "float" | "text" | "blob";
  readonly value?: string | number;
  readonly base64?: string;
}
interface HranaStatement {
  readonly sql?: string | null;
  readonly sql_id?: number | null;
  readonly args?: readonly HranaValue[];
}
type Condition =
  | { readonly type: "ok" | "error"; readonly step: number }
  | { readonly type: "not"; readonly cond: Condition }
  | { readonly type: "and" | "or"; readonly conds: readonly Condition[] };
interface Request {
  readonly type: string;
  readonly sql?: string;
  readonly sql_id?: number;
  readonly stmt?: HranaStatement;
  readonly batch?: { readonly steps: readonly { readonly stmt: HranaStatement; readonly condition?: Condition }[] };
}
interface Problem {
  readonly message: string;
  readonly code: string;
}
interface Outcome {
  readonly result: unknown;
  readonly error: Problem | null;
}

/** Starts one on a free port; every connection sees the same database. */
export function startHrana(): HranaServer {
  const database = new LibsqlDatabase(":memory:");
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const path = new URL(request.url).pathname;
      if (request.method === "GET") return new Response(null, { status: path === "/v2" ? 200 : 404 });
      if (path !== "/v2/pipeline") return new Response(null, { status: 404 });
      const { requests } = (await request.json()) as { requests: Request[] };
      return Response.json({ baton: null, base_url: null, results: pipeline(database, requests) });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      database.close();
    },
  };
}

/** Requests of one stream in their order; texts stored by one are known to those behind it. */
function pipeline(database: LibsqlDatabase.Database, requests: readonly Request[]): unknown[] {
  const texts = new Map<number, string>();
  const whole = (statement: HranaStatement) => ({
    sql: statement.sql ?? texts.get(statement.sql_id ?? -1) ?? "",
    args: statement.args ?? [],
  });
  return requests.map((request) => {
    if (request.type === "store_sql") texts.set(request.sql_id ?? -1, request.sql ?? "");
    return answer(request, (statement) => run(database, whole(statement)));
  });
}

function answer(request: Request, execute: (statement: HranaStatement) => Outcome): unknown {
  const { type, stmt, batch } = request;
  if (type === "close" || type === "store_sql" || type === "close_sql") return { type: "ok", response: { type } };
  if (type === "execute" && stmt !== undefined) {
    const { result, error } = execute(stmt);
    return error === null ? { type: "ok", response: { type, result } } : { type: "error", error };
  }
  if (type === "batch" && batch !== undefined) {
    const done: (Outcome | undefined)[] = [];
    for (const step of batch.steps)
      done.push(step.condition === undefined || holds(step.condition, done) ? execute(step.stmt) : undefined);
    const result = {
      step_results: done.map((outcome) => outcome?.result ?? null),
      step_errors: done.map((outcome) => outcome?.error ?? null),
    };
    return { type: "ok", response: { type, result } };
  }
  return { type: "error", error: { message: `unknown request ${type}`, code: "UNKNOWN" } };
}

function holds(condition: Condition, done: readonly (Outcome | undefined)[]): boolean {
  switch (condition.type) {
    case "ok":
      return done[condition.step]?.error === null;
    case "error":
      return (done[condition.step]?.error ?? null) !== null;
    case "not":
      return !holds(condition.cond, done);
    case "and":
      return condition.conds.every((one) => holds(one, done));
    case "or":
      return condition.conds.some((one) => holds(one, done));
  }
}

function run(
  database: LibsqlDatabase.Database,
  { sql, args }: { readonly sql: string; readonly args: readonly HranaValue[] },
): Outcome {
  try {
    const statement = database.prepare(sql);
    const values = args.map(valueIn);
    if (!statement.reader) {
      const { changes } = statement.run(values);
      return { result: { cols: [], rows: [], affected_row_count: changes, last_insert_rowid: null }, error: null };
    }
    const rows = statement.raw(true).safeIntegers(true).all(values) as unknown[][];
    const cols = statement.columns().map(({ name }) => ({ name, decltype: null }));
    const result = {
      cols,
      rows: rows.map((row) => row.map(valueOut)),
      affected_row_count: 0,
      last_insert_rowid: null,
    };
    return { result, error: null };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "UNKNOWN";
    return { result: null, error: { message: error instanceof Error ? error.message : "failed", code } };
  }
}

function valueIn({ type, value, base64 }: HranaValue): unknown {
  if (type === "null") return null;
  if (type === "integer") return BigInt(value ?? 0);
  if (type === "blob") return Buffer.from(base64 ?? "", "base64");
  return value;
}

function valueOut(value: unknown): HranaValue {
  if (value === null) return { type: "null" };
  if (typeof value === "bigint") return { type: "integer", value: String(value) };
  if (typeof value === "number") return { type: "float", value };
  if (typeof value === "string") return { type: "text", value };
  return {
    type: "blob",
    base64: Buffer.from(value as Uint8Array)
      .toString("base64")
      .replace(/=+$/, ""),
  };
}
