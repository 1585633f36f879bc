import type { Postgres } from "../../../support/postgres.ts";
import type { Stack } from "../../../support/stack.ts";
import { countCpu } from "../../cpu-time.ts";
import { type Figure, timesPeer } from "../../figure.ts";
import { median } from "../../median.ts";

const seconds = 4;
const rounds = 2;

/** Selects by primary key, 8 clients; in turns with the peer, and once without anything between. */
export async function pgbench(
  stack: Stack,
  server: Postgres,
  ports: { readonly ours: number; readonly peer: number | undefined },
  note: (text: string) => void,
): Promise<Figure[]> {
  await run(server, server.port, ["-i", "-q", "-s", "5"]);
  const [ours, peers]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    if (ports.peer !== undefined) peers.push(await selects(server, ports.peer));
    const used = countCpu(stack);
    const tps = await selects(server, ports.ours);
    ours.push(tps);
    if (round === rounds - 1) note(`µs of processor time a select: ${used(tps * seconds)}`);
  }
  const shown = (values: readonly number[]) => values.map((value) => Math.round(value)).join(", ") || "not measured";
  const direct = await selects(server, server.port);
  note(`pgbench -S, 8 clients, tps: ${shown(ours)}; through the peer ${shown(peers)}; direct ${shown([direct])}`);
  const peer = peers.length === 0 ? undefined : median(peers);
  return [timesPeer("portal, pgbench -S, 8 clients", median(ours), "tps", peer, 0.9)];
}

async function selects(server: Postgres, port: number): Promise<number> {
  const text = await run(server, port, ["-S", "-n", "-c", "8", "-j", "2", "-T", `${seconds}`]);
  const [, tps] = /^tps = ([\d.]+)/m.exec(text) ?? [];
  if (tps === undefined) throw new RangeError(`pgbench said nothing of its rate: ${text}`);
  return Number(tps);
}

async function run({ login }: Postgres, port: number, words: readonly string[]): Promise<string> {
  const { user, password, database } = login;
  const child = Bun.spawn(["pgbench", "-h", "127.0.0.1", "-p", `${port}`, "-U", user, ...words, database], {
    env: { PATH: process.env.PATH ?? "", PGPASSWORD: password },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new RangeError(`pgbench: ${err}`);
  return out;
}
