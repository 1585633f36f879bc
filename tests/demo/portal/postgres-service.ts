import { Postgres, type PostgresLogin } from "../../support/postgres.ts";
import { psql } from "./psql.ts";
import { type Endless, RowReader, type Rows, rowBytes, rowMs, type Service } from "./service.ts";
import { textLines } from "./text-lines.ts";

const rowsQuery = (count: number) =>
  `SELECT i, repeat('.', ${rowBytes}), pg_sleep(${rowMs / 1_000}) FROM generate_series(1, ${count}) i`;

/** PostgreSQL, used with psql where there is one, else with the SQL client of the runtime. */
export async function postgresService(): Promise<Service> {
  const server = await Postgres.start();
  const { port, data, login, version } = server;
  const client = Bun.which("psql") === null ? runtimeClient(login) : psqlClient(login);
  return {
    ...client,
    what: `${version.replace(/^postgres \(PostgreSQL\) (\S+).*$/, "PostgreSQL $1")}, asked with ${client.what}`,
    port,
    data,
    command: (at) => `PGPASSWORD=${login.password} psql -h 127.0.0.1 -p ${at} -U ${login.user} ${login.database}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

type Client = Pick<Service, "what" | "ask" | "keep" | "echo" | "rows" | "endless">;

function psqlClient(login: PostgresLogin): Client {
  const lines = async (port: number, statements: string): Promise<string[]> => {
    using run = psql(port, login, statements);
    const all = await Array.fromAsync(textLines(run.output));
    const failure = await run.failure;
    if (failure !== null) throw new RangeError(failure);
    return all;
  };
  return {
    what: "psql",
    async ask(port, count) {
      const answers = await lines(port, "SELECT 6 * 7;\n".repeat(count));
      return answers.filter((answer) => answer === "42").length;
    },
    async keep(port, text) {
      const kept = await lines(
        port,
        `CREATE TABLE IF NOT EXISTS notes (note text); INSERT INTO notes VALUES ('${text}'); CHECKPOINT;
         SELECT note FROM notes LIMIT 1;`,
      );
      return kept[0] ?? "";
    },
    echo: async (port, text) => (await lines(port, `SELECT '${text}';`))[0] ?? "",
    async rows(port, count, arrived): Promise<Rows> {
      const who = "SELECT pg_backend_pid();";
      using run = psql(port, login, `${who} COPY (${rowsQuery(count)}) TO STDOUT; ${who}`);
      const reader = new RowReader(arrived);
      const servers: string[] = [];
      for await (const line of textLines(run.output)) {
        const [first = "", row] = line.split("\t");
        if (row === undefined) servers.push(first);
        else reader.take(Number(first));
      }
      const failure = await run.failure;
      if (failure !== null) throw new RangeError(failure);
      const { numbers, longestPauseMs } = reader;
      return { numbers, longestPauseMs, oneConnection: servers.length === 2 && servers[0] === servers[1] };
    },
    endless(port): Endless {
      const run = psql(port, login, "SELECT 'begun'; SELECT pg_sleep(3600);");
      const begun = Promise.withResolvers<void>();
      const read = async () => {
        for await (const line of textLines(run.output)) if (line === "begun") begun.resolve();
        const failure = (await run.failure) ?? "it ended by itself";
        begun.reject(new RangeError(failure));
        return failure.split("\n")[0] ?? "";
      };
      return { begun: begun.promise, ended: read() };
    },
  };
}

/** Its client gives an answer as a whole, so rows are fetched a hundred at a time from one cursor. */
function runtimeClient(login: PostgresLogin): Client {
  const connect = (port: number) => {
    const { user: username, password, database } = login;
    return new Bun.SQL({ adapter: "postgres", hostname: "127.0.0.1", port, username, password, database, max: 1 });
  };
  return {
    what: "Bun's SQL client",
    async ask(port, count) {
      await using sql = connect(port);
      let right = 0;
      for (let asked = 0; asked < count; asked++) {
        const [row] = await sql`SELECT 6 * 7 AS answer`;
        if (row?.answer === 42) right++;
      }
      return right;
    },
    async keep(port, text) {
      await using sql = connect(port);
      await sql`CREATE TABLE IF NOT EXISTS notes (note text)`;
      await sql`INSERT INTO notes VALUES (${text})`;
      await sql`CHECKPOINT`;
      const [row] = await sql`SELECT note FROM notes LIMIT 1`;
      return String(row?.note);
    },
    async echo(port, text) {
      await using sql = connect(port);
      const [row] = await sql`SELECT ${text}::text AS text`;
      return String(row?.text);
    },
    async rows(port, count, arrived): Promise<Rows> {
      await using sql = connect(port);
      const reader = new RowReader(arrived);
      const who = async () => Number((await sql`SELECT pg_backend_pid() AS pid`)[0]?.pid);
      const first = await who();
      await sql.begin(async (held) => {
        await held.unsafe(`DECLARE report CURSOR FOR ${rowsQuery(count)}`);
        while (reader.numbers.length < count)
          for (const { i } of await held.unsafe("FETCH 100 FROM report")) reader.take(Number(i));
      });
      const { numbers, longestPauseMs } = reader;
      return { numbers, longestPauseMs, oneConnection: first === (await who()) };
    },
    endless(port): Endless {
      const sql = connect(port);
      const begun = sql`SELECT 1`.then(() => undefined);
      const ended = begun
        .then(() => sql`SELECT pg_sleep(3600)`)
        .then(
          () => "it ended by itself",
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        )
        .finally(() => sql.close());
      return { begun, ended };
    },
  };
}
