import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { EnrollmentDoor } from "./agents.ts";

/** Agents in a process of their own. */
export interface Agents extends AsyncDisposable {
  /** How many there are: those whose enrollment the time allowed. */
  readonly count: number;
  /** Opens a tunnel for each; ms that it took. */
  open(): Promise<number>;
  /** Opens one down lane in each tunnel. */
  openLanes(): Promise<void>;
  /** Opens a relayed wire between the first and the second, the third and the fourth, …, which a portal must join. */
  openRelays(): Promise<void>;
}

interface Answer {
  readonly agents: number;
  readonly ms: number;
}

/** Enrolls an agent with each token; RangeError when the process fails. */
export async function runAgents(tokens: readonly string[], door: EnrollmentDoor, enrollMs: number): Promise<Agents> {
  const child = Bun.spawn([process.execPath, new URL("./agents-load.ts", import.meta.url).pathname], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const input = Readable.fromWeb(child.stdout as never); // the same stream under another library's type
  const lines = createInterface({ input })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<Answer> => {
    child.stdin.write(`${line}\n`);
    await child.stdin.flush();
    const { value, done } = await lines.next();
    if (done === true) throw new RangeError("the agents ended with an error");
    return JSON.parse(value) as Answer; // our own process' line
  };
  const { agents: count } = await ask(JSON.stringify({ tokens, enrollMs, ...door }));
  return {
    count,
    open: async () => (await ask("open")).ms,
    openLanes: async () => {
      await ask("lanes");
    },
    openRelays: async () => {
      await ask("relay");
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
