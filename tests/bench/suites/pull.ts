import { eventually } from "../../support/eventually.ts";
import { countCpu } from "../cpu-time.ts";
import { atLeast, type Figure } from "../figure.ts";
import { type BenchStack, benchStack, counted, metric, noop } from "./bench-stack.ts";

const often = { everyMs: 20, timeoutMs: 60_000 };

/** A pull of some messages of 1 KiB that has begun. */
interface Pull {
  /** What the plugin had emitted, and Solaris received, before. */
  readonly emitted: number;
  readonly received: number;
}

const received = ({ stack }: BenchStack) => metric(stack.origin, "solaris_messages_received_total");

/** Has the plugin emit `messages` more, as fast as they are stored; resolves when the API has taken that. */
export async function beginPull(bench: BenchStack, messages: number): Promise<Pull> {
  const { stack, agentId, site } = bench;
  const before = { emitted: await counted(site, "emitted"), received: await received(bench) };
  await stack.api.putPlugin(agentId, noop, {
    type: noop,
    config: { down: {}, up: { messages: before.emitted + messages, bodyBytes: 1_024, batch: 100 } },
  });
  return before;
}

/** Resolves when Solaris has stored `messages` of the pull. */
export async function allReceived(bench: BenchStack, pull: Pull, messages: number): Promise<void> {
  await eventually("all are stored", async () => (await received(bench)) >= pull.received + messages, often);
}

/** Messages a second, from the first that the plugin emits until the last of them is stored in Solaris. */
async function pulledPerSecond(
  bench: BenchStack,
  messages: number,
  note: (text: string) => void = () => undefined,
): Promise<number> {
  const pull = await beginPull(bench, messages);
  await eventually("the plugin emits", async () => (await counted(bench.site, "emitted")) > pull.emitted, often);
  const used = countCpu(bench.stack);
  const began = performance.now();
  await allReceived(bench, pull, messages);
  note(`µs of processor time a message: ${used(messages)}`);
  return (messages * 1_000) / (performance.now() - began);
}

export async function pull(note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("nats");
  await pulledPerSecond(bench, 10_000);
  return [atLeast("pull, NATS", await pulledPerSecond(bench, 30_000, note), "msg/s", 5_000)];
}
