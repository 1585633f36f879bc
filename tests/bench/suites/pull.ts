import { eventually } from "../../support/eventually.ts";
import { countCpu } from "../cpu-time.ts";
import { atLeast, type Figure } from "../figure.ts";
import { type BenchStack, benchStack, counted, metric, noop } from "./bench-stack.ts";

const often = { everyMs: 20, timeoutMs: 60_000 };

/** Messages of 1 KiB a second, from the first that the plugin emits until the last of `messages` more is stored in Solaris. */
export async function pulledPerSecond(
  bench: BenchStack,
  messages: number,
  note: (text: string) => void = () => undefined,
): Promise<number> {
  const { stack, agentId, site } = bench;
  const emitted = await counted(site, "emitted");
  const received = () => metric(stack.origin, "solaris_messages_received_total");
  const before = await received();
  await stack.api.putPlugin(agentId, noop, {
    type: noop,
    config: { down: {}, up: { messages: emitted + messages, bodyBytes: 1_024, batch: 100 } },
  });
  await eventually("the plugin emits", async () => (await counted(site, "emitted")) > emitted, often);
  const used = countCpu(stack);
  const began = performance.now();
  await eventually("all are stored", async () => (await received()) >= before + messages, often);
  note(`µs of processor time a message: ${used(messages)}`);
  return (messages * 1_000) / (performance.now() - began);
}

export async function pull(note: (text: string) => void): Promise<readonly Figure[]> {
  await using bench = await benchStack("nats");
  await pulledPerSecond(bench, 5_000);
  return [atLeast("pull, NATS", await pulledPerSecond(bench, 30_000, note), "msg/s", 5_000)];
}
