import { sleep } from "#lib/clock";
import { backOffMs } from "#lib/delivery";
import { Fault } from "#lib/fault";
import { fraction } from "./fraction.ts";
import type { Collected, PluginHost } from "./plugin.ts";

const range = { firstMs: 250, maxMs: 3_000 };

/**
 * Stores messages and what goes with them; while there is no room (`lane_full`, `disk_full`) it tells `waits` and tries again.
 * Rejects with the signal's reason when that aborts, and with every other Fault of `emit`.
 */
export async function emitPatiently(
  host: Pick<PluginHost, "emit" | "clock" | "random">,
  messages: readonly Collected[],
  remember: Readonly<Record<string, string | null>>,
  { signal, waits }: { readonly signal: AbortSignal; readonly waits: (reason: string) => void },
): Promise<string[]> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await host.emit(messages, remember);
    } catch (error) {
      if (!(error instanceof Fault) || (error.code !== "lane_full" && error.code !== "disk_full")) throw error;
      waits(error.code === "lane_full" ? "the outbox is full" : "the disk is full");
    }
    await sleep(host.clock, backOffMs(attempt, range, 0.5 + fraction(host.random) / 2), { signal });
  }
}
