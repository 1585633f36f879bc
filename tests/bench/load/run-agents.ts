import { createInterface } from "node:readline";
import { Readable } from "node:stream";

/** Agents in a process of their own. */
export interface Agents extends AsyncDisposable {
  readonly pid: number;
  /** Opens a tunnel for each; ms that it took. */
  open(): Promise<number>;
  /** Opens one down lane in each tunnel. */
  openLanes(): Promise<void>;
}

/** Enrolls an agent with each token; RangeError when the process fails. */
export async function runAgents(tokens: readonly string[]): Promise<Agents> {
  const child = Bun.spawn([process.execPath, new URL("./agents-load.ts", import.meta.url).pathname], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const input = Readable.fromWeb(child.stdout as never); // the same stream under another library's type
  const lines = createInterface({ input })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<{ ms: number }> => {
    child.stdin.write(`${line}\n`);
    await child.stdin.flush();
    const { value, done } = await lines.next();
    if (done === true) throw new RangeError("the agents ended with an error");
    return JSON.parse(value) as { ms: number }; // our own process' line
  };
  await ask(JSON.stringify(tokens));
  return {
    pid: child.pid,
    open: async () => (await ask("open")).ms,
    openLanes: async () => {
      await ask("lanes");
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
