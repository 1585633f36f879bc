import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Stack } from "../../support/stack.ts";
import type { BenchSettings } from "../bench-settings.ts";
import { countCpu } from "../cpu-time.ts";
import { atLeast, atMost, type Figure } from "../figure.ts";
import { type Agents, runAgents } from "../load/run-agents.ts";
import { residentBytes } from "../resident-bytes.ts";

const perProcess = 2_500;
const idleMs = 60_000;

/** Tunnels opened a second by distinct agents, then what each of them costs a Nexus that has nothing to do for it. */
export async function sessions(
  note: (text: string) => void,
  { agents: wanted, enrollMsMax }: BenchSettings,
): Promise<readonly Figure[]> {
  await using stack = await Stack.start({
    broker: "nats",
    environment: {
      solaris: { SOLARIS_LOG_LEVEL: "warn" },
      nexus: {
        NEXUS_LOG_LEVEL: "warn",
        NEXUS_ADMISSION_PER_SECOND: "5000",
        NEXUS_TRUSTED_PROXIES: "127.0.0.1",
      },
    },
  });
  await using stop = new AsyncDisposableStack();
  const enrolled = performance.now();
  const [warm, ...processes] = await enrolledAgents(stack, [50, ...shares(wanted)], enrollMsMax, stop);
  const count = processes.reduce((sum, agents) => sum + agents.count, 0);
  note(`${count} of ${wanted} agents enrolled, ${Math.round((count * 1_000) / (performance.now() - enrolled))}/s`);
  const pid = stack.gateway.pid;
  await openAll(warm === undefined ? [] : [warm]);
  const before = residentBytes(pid);
  const used = countCpu(stack);
  const openMs = await openAll(processes);
  note(`µs of processor time an opening: ${used(count)}`);
  for (const agents of processes) await agents.openLanes();
  note(`idle for ${idleMs / 1_000} s`);
  await Bun.sleep(idleMs);
  const eachKb = (residentBytes(pid) - before) / count / 1_000;
  return [
    atLeast("tunnels opened by distinct agents", (count * 1_000) / openMs, "1/s", 300),
    atMost(`memory of an idle session, ${count} agents`, eachKb, "KB", 25),
  ];
}

const shares = (count: number) =>
  Array.from({ length: Math.ceil(count / perProcess) }, (_, index) => Math.min(perProcess, count - index * perProcess));

async function openAll(processes: readonly Agents[]): Promise<number> {
  const began = performance.now();
  await Promise.all(processes.map((agents) => agents.open()));
  return performance.now() - began;
}

async function enrolledAgents(
  stack: Stack,
  counts: readonly number[],
  enrollMsMax: number,
  stop: AsyncDisposableStack,
): Promise<Agents[]> {
  const { customerId } = await stack.api.createCustomer();
  const gatewayKey = readFileSync(join(stack.directory, "gateway-key"), "utf8").trim();
  const started: Agents[] = [];
  const until = performance.now() + enrollMsMax;
  const left = () => Math.max(0, until - performance.now());
  for (const count of counts) {
    const tokens: string[] = [];
    const make = async () => {
      while (tokens.length < count && left() > 0) {
        const index = tokens.push("") - 1;
        tokens[index] = (await stack.api.createAgent(customerId, { name: `agent ${started.length}-${index}` })).token;
      }
    };
    await Promise.all(Array.from({ length: 16 }, make));
    started.push(stop.use(await runAgents(tokens, { solaris: stack.origin, gatewayKey }, left())));
  }
  return started;
}
