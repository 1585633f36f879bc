import { countCpu } from "../cpu-time.ts";
import type { LoadResult, LoadSettings } from "../load/http-load.ts";
import { runLoad } from "../load/run-load.ts";
import { allApplied, type BenchStack } from "./bench-stack.ts";

/** 1 KiB bodies, by as many callers as one agent's backend may well have. */
const bodyBytes = 1_024;

/** The loads of the push figures, so that the yardstick gets the very same. */
export const pushLoads = {
  single: { connections: 64, bodyBytes },
  batch: { connections: 8, bodyBytes, batch: 100 },
} as const satisfies Record<string, Omit<LoadSettings, "url" | "timeMs">>;

export function pushLoad(bench: BenchStack, kind: keyof typeof pushLoads, timeMs: number): Promise<LoadResult> {
  const url = kind === "single" ? bench.messagesUrl : `${bench.messagesUrl}:batch`;
  return runLoad({ ...pushLoads[kind], url, headers: bench.headers, timeMs });
}

/** Messages a second from the first request until all are applied at the site and known to be, in Solaris' rows. */
export async function pushedPerSecond(
  bench: BenchStack,
  kind: keyof typeof pushLoads,
  timeMs: number,
  note: (text: string) => void = () => undefined,
): Promise<number> {
  const used = countCpu(bench.stack);
  const load = await pushLoad(bench, kind, timeMs);
  await allApplied(bench);
  const perSecond = (load.messages * 1_000) / (Date.now() - load.beganAt);
  note(`${kind}: µs of processor time a message: ${used(load.messages)}; 202 p50 ${load.p50Ms.toFixed(1)} ms`);
  return perSecond;
}
