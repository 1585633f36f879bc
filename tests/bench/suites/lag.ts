import { join } from "node:path";
import { coreWaitMs } from "../core-wait.ts";
import { atMostBeside, type Figure } from "../figure.ts";
import { allApplied, type BenchStack, benchStack, metric } from "./bench-stack.ts";
import { allReceived, beginPull } from "./pull.ts";
import { pushedPerSecond, pushLoad, type pushLoads } from "./push-load.ts";

/** Reads p99 since the last read. */
interface LagReader {
  readonly name: string;
  read(): Promise<number>;
}

/**
 * A load that runs for some seconds. Nobody may ask for a status meanwhile: each question begins the measurement anew. Resolves with
 * what waits until all of the load has arrived.
 */
interface Phase {
  readonly name: string;
  run(bench: BenchStack): Promise<() => Promise<void>>;
}

const phaseMs = 2_000;
const pulled = 15_000;

const phases: readonly Phase[] = [
  { name: "single", run: (bench) => pushFor(bench, "single") },
  { name: "batch", run: (bench) => pushFor(bench, "batch") },
  {
    name: "pull",
    async run(bench) {
      const pull = await beginPull(bench, pulled);
      await Bun.sleep(phaseMs);
      return () => allReceived(bench, pull, pulled);
    },
  },
];

async function pushFor(bench: BenchStack, kind: keyof typeof pushLoads): Promise<() => Promise<void>> {
  await pushLoad(bench, kind, phaseMs);
  return () => allApplied(bench);
}

/** Event-loop lag under full load in both directions, as the disk is and with 5 ms added to every commit. */
export async function lag(note: (text: string) => void): Promise<readonly Figure[]> {
  return [...(await lagWith(0, note)), ...(await lagWith(5, note))];
}

async function lagWith(delayMs: number, note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("embedded", {
    solaris: { SOLARIS_BENCH_COMMIT_DELAY_MS: String(delayMs) },
    mercury: { MERCURY_TEST_COMMIT_DELAY_MS: String(delayMs) },
  });
  await using idle = idleLoop();
  const readers: LagReader[] = [
    { name: "Mercury", read: async () => (await bench.site.status()).loopLagP99Ms },
    {
      name: "Nexus+Solaris",
      read: async () => 1_000 * (await metric(bench.stack.origin, 'process_event_loop_lag_seconds{quantile="0.99"}')),
    },
    idle,
  ];
  const worst = new Map<string, number>();
  await pushedPerSecond(bench, "single", 1_500);
  for (const phase of phases) {
    for (const reader of readers) await reader.read();
    const waited = mainThreadsWait(bench);
    const settle = await phase.run(bench);
    const shown: string[] = [];
    for (const reader of readers) {
      const p99Ms = await reader.read();
      shown.push(`${reader.name} ${p99Ms.toFixed(1)}`);
      worst.set(reader.name, Math.max(worst.get(reader.name) ?? 0, p99Ms));
    }
    note(`+${delayMs} ms, ${phase.name}: ${shown.join(", ")}; main threads waiting for a core: ${waited()}`);
    await settle();
  }
  const suffix = delayMs === 0 ? "" : `, +${delayMs} ms a commit`;
  return ["Mercury", "Nexus+Solaris"].map((name) =>
    atMostBeside(`loop lag p99, ${name}${suffix}`, worst.get(name) ?? Number.NaN, "ms", worst.get(idle.name) ?? 0, 10),
  );
}

/** Begins to count how much of the time the main threads of Mercury and of Nexus+Solaris wait for a core; call the result to be told. */
function mainThreadsWait({ stack, site }: BenchStack): () => string {
  const began = performance.now();
  const threads = [site.program.pid, stack.solaris.pid].map((pid) => ({ pid, beforeMs: coreWaitMs(pid) }));
  return () => {
    const passedMs = performance.now() - began;
    return threads.map(({ pid, beforeMs }) => percent((coreWaitMs(pid) - beforeMs) / passedMs)).join(" and ");
  };
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** A process that does nothing, for what the machine's scheduler adds to everyone's lag. */
function idleLoop(): LagReader & AsyncDisposable {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../yardstick/idle-loop.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return {
    name: "an idle process",
    async read() {
      child.stdin.write("\n");
      await child.stdin.flush();
      const { value = "" } = await lines.read();
      return Number(value.trim());
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
