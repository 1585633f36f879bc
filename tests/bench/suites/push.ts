import { atLeast, atLeastTimes, type Figure } from "../figure.ts";
import { runLoad } from "../load/run-load.ts";
import { startYardstick } from "../yardstick/start-yardstick.ts";
import { benchStack } from "./bench-stack.ts";
import { pushedPerSecond, pushLoads } from "./push-load.ts";

const unit = "msg/s";

/** Four processes and nats-server; the yardstick runs on the same nats-server, before and after. */
export async function pushNats(note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("nats");
  const bare = async () => {
    await using yardstick = await startYardstick(bench.stack);
    await runLoad({ ...pushLoads.single, url: yardstick.url, timeMs: 500 });
    const { messages, seconds } = await runLoad({ ...pushLoads.single, url: yardstick.url, timeMs: 2_000 });
    return messages / seconds;
  };
  const before = await bare();
  await pushedPerSecond(bench, "single", 2_000);
  const single = await pushedPerSecond(bench, "single", 4_000, note);
  const after = await bare();
  note(`bare handler ${Math.round(before)}/s before, ${Math.round(after)}/s after`);
  await pushedPerSecond(bench, "batch", 1_000);
  const batch = await pushedPerSecond(bench, "batch", 4_000, note);
  return [
    atLeastTimes("push, single, NATS", single, unit, (before + after) / 2, 0.3),
    atLeast("push, :batch of 100, NATS", batch, unit, 5_000),
  ];
}

/** Nexus inside Solaris, the embedded broker. */
export async function pushEmbedded(note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("embedded");
  await pushedPerSecond(bench, "single", 2_000);
  const single = await pushedPerSecond(bench, "single", 3_000, note);
  await pushedPerSecond(bench, "batch", 1_000);
  const batch = await pushedPerSecond(bench, "batch", 3_000, note);
  return [
    atLeast("push, single, embedded", single, unit, 3_000),
    atLeast("push, :batch of 100, embedded", batch, unit, 3_000),
  ];
}
