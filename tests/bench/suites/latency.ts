import { atMostOver, type Figure } from "../figure.ts";
import type { LoadResult, LoadSettings } from "../load/http-load.ts";
import { runLoad } from "../load/run-load.ts";
import { median } from "../median.ts";
import { startYardstick } from "../yardstick/start-yardstick.ts";
import { benchStack } from "./bench-stack.ts";

const load = { connections: 32, bodyBytes: 1_024, ratePerSecond: 200 } satisfies Omit<LoadSettings, "url" | "timeMs">;

const rounds = 3;

/** Time to the 202 at 200 messages a second, beside the bare handler's, in turns; the middle of the rounds. */
export async function latency(note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("nats");
  await using yardstick = await startYardstick(bench.stack);
  const ours = { ...load, url: bench.messagesUrl, headers: bench.headers };
  const bare = { ...load, url: yardstick.url };
  for (const { ratePerSecond: _, ...fullSpeed } of [bare, ours]) await runLoad({ ...fullSpeed, timeMs: 2_000 });
  const results: { bare: LoadResult; ours: LoadResult }[] = [];
  for (let round = 0; round < rounds; round++) {
    const result = {
      bare: await runLoad({ ...bare, timeMs: 2_000 }),
      ours: await runLoad({ ...ours, timeMs: 2_000 }),
    };
    results.push(result);
    const shown = ({ p50Ms, p99Ms }: LoadResult) => `${p50Ms.toFixed(1)} / ${p99Ms.toFixed(1)}`;
    note(`p50 / p99 ms: bare ${shown(result.bare)}, ours ${shown(result.ours)}`);
  }
  const middle = (whose: "bare" | "ours", which: "p50Ms" | "p99Ms") =>
    median(results.map((result) => result[whose][which]));
  return [
    atMostOver("latency at 200 msg/s, p50", middle("ours", "p50Ms"), "ms", middle("bare", "p50Ms"), 5),
    atMostOver("latency at 200 msg/s, p99", middle("ours", "p99Ms"), "ms", middle("bare", "p99Ms"), 20),
  ];
}
