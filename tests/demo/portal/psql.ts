import type { PostgresLogin } from "../../support/postgres.ts";

/** One run of psql. */
export interface Psql extends Disposable {
  readonly output: ReadableStream<Uint8Array>;
  /** Resolves with what it complained of when it has ended; null when all went well. */
  readonly failure: Promise<string | null>;
}

/** Runs statements on one connection; answers are tab-separated lines without headings. */
export function psql(port: number, login: PostgresLogin, statements: string): Psql {
  const { user, password, database } = login;
  const where = ["-h", "127.0.0.1", "-p", `${port}`, "-U", user, "-d", database];
  const child = Bun.spawn(["psql", ...where, "-XqAt", "-v", "ON_ERROR_STOP=1"], {
    env: { PATH: process.env.PATH ?? "", PGPASSWORD: password },
    stdin: new Blob([statements]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const complaint = new Response(child.stderr).text();
  const failure = child.exited.then(async (code) => (code === 0 ? null : (await complaint).trim() || `code ${code}`));
  return { output: child.stdout, failure, [Symbol.dispose]: () => child.kill() };
}
