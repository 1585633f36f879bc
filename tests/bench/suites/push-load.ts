import { countCpu } from "../cpu-time.ts";
import type { LoadSettings } from "../load/http-load.ts";
import { runLoad } from "../load/run-load.ts";
import { allApplied, type BenchStack, counted } from "./bench-stack.ts";

/** 1 KiB bodies, by as many callers as one agent's backend may well have. */
const bodyBytes = 1_024;

/** The loads of the push figures, so that the yardstick gets the very same. */
export const pushLoads = {
  single: { connections: 64, bodyBytes },
  batch: { connections: 8, bodyBytes, batch: 100 },
} as const satisfies Record<string, Omit<LoadSettings, "url" | "timeMs">>;

/** Messages a second from the first request until all are applied at the site and known to be, in Solaris' rows. */
export async function pushedPerSecond(
  bench: BenchStack,
  kind: keyof typeof pushLoads,
  timeMs: number,
  note: (text: string) => void = () => undefined,
): Promise<number> {
  const before = await counted(bench.site, "delivered");
  const used = countCpu(bench.stack);
  const load = await runLoad({
    ...pushLoads[kind],
    url: kind === "single" ? bench.messagesUrl : `${bench.messagesUrl}:batch`,
    headers: bench.headers,
    timeMs,
  });
  await allApplied(bench, before + load.messages);
  note(`${kind}: µs of processor time a message: ${used(load.messages)}; 202 p50 ${load.p50Ms.toFixed(1)} ms`);
  return (load.messages * 1_000) / (Date.now() - load.beganAt);
}
