import type { Broker, Usage } from "#lib/broker";
import { Gauge, type Registry } from "#lib/metrics";
import type { SliceDeps } from "../api/index.ts";
import { clearPlatformWarning, openPlatformWarning, openSubjects } from "./platform-warnings.ts";

/** A stream this full wants somebody to look (DESIGN §5) … */
const raiseShare = 0.7;
/** … and one that has come down to here does not any more: a share that swings around one mark makes one warning. */
const clearShare = 0.6;

/** What became of a stream since it was looked at last. */
export function fillingOf({ bytes, bytesMax, refuses }: Usage): "filling" | "relieved" | "between" {
  if (!refuses || bytes <= bytesMax * clearShare) return "relieved"; // one that drops its oldest is meant to be full
  return bytes >= bytesMax * raiseShare ? "filling" : "between";
}

const kind = "broker-filling" as const;

export interface BrokerUsageDeps extends Pick<SliceDeps, "db" | "clock" | "newId" | "log"> {
  readonly broker: Pick<Broker, "usage">;
}

/** Looks how full the broker's streams are. */
export interface BrokerUsage {
  /** Raises and clears warnings; of all replicas that look the one whose row it is writes it into the log. */
  look(): Promise<void>;
}

/** With gauges in `registry`, of what the last look found. */
export function watchBrokerUsage(deps: BrokerUsageDeps, registry: Registry): BrokerUsage {
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ["stream"], registers: [registry] });
  const used = gauge("solaris_broker_stream_bytes", "Bytes that a stream of the broker holds");
  const most = gauge("solaris_broker_stream_bytes_max", "Bytes that a stream of the broker may hold");

  async function judge(usage: Usage, isOpen: boolean): Promise<void> {
    const { name: subject, bytes, bytesMax } = usage;
    const { db, log } = deps;
    const [filling, at, detail] = [fillingOf(usage), deps.clock.now(), { bytes, bytesMax }];
    if (filling === "filling" && !isOpen) {
      const row = { id: deps.newId("wrn"), kind, subject, at, detail, clearedAt: null };
      if (await openPlatformWarning(db, row))
        log.warn("a stream of the broker fills up", { stream: subject, ...detail });
    } else if (filling === "relieved" && isOpen && (await clearPlatformWarning(db, { kind, subject }, at)))
      log.info("a stream of the broker has room again", { stream: subject, ...detail });
  }

  return {
    async look() {
      const open = await openSubjects(deps.db, kind);
      for (const usage of await deps.broker.usage()) {
        used.set({ stream: usage.name }, usage.bytes);
        most.set({ stream: usage.name }, usage.bytesMax);
        await judge(usage, open.has(usage.name));
      }
    },
  };
}
