import { atMostOver, type Figure } from "../figure.ts";
import type { LoadSettings } from "../load/http-load.ts";
import { runLoad } from "../load/run-load.ts";
import { startYardstick } from "../yardstick/start-yardstick.ts";
import { benchStack } from "./bench-stack.ts";

const load = { connections: 32, bodyBytes: 1_024, ratePerSecond: 200 } satisfies Omit<LoadSettings, "url" | "timeMs">;

/** Time to the 202 at 200 messages a second, beside the bare handler's. */
export async function latency(): Promise<readonly Figure[]> {
  await using bench = await benchStack("nats");
  await using yardstick = await startYardstick(bench.stack);
  const ours = { ...load, url: bench.messagesUrl, headers: bench.headers };
  await runLoad({ ...load, url: yardstick.url, timeMs: 1_000 });
  const bare = await runLoad({ ...load, url: yardstick.url, timeMs: 5_000 });
  await runLoad({ ...ours, timeMs: 1_000 });
  const full = await runLoad({ ...ours, timeMs: 5_000 });
  return [
    atMostOver("latency at 200 msg/s, p50", full.p50Ms, "ms", bare.p50Ms, 5),
    atMostOver("latency at 200 msg/s, p99", full.p99Ms, "ms", bare.p99Ms, 20),
  ];
}
