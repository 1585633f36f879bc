import { Counter, Gauge, Histogram, Registry } from "#lib/metrics";
import { readHead } from "./audit/repo.ts";
import type { Db } from "./db/index.ts";
import { countAgents } from "./monitoring/index.ts";

/** Prometheus metrics of Solaris; gauges are read when they are asked for. */
export interface SolarisMetrics {
  readonly registry: Registry;
  /** One use of a key in KMS. */
  kmsUsed(operation: string): void;
  /** One decision over an opening: `accept`, `deny`, or the code of a refusal. */
  opened(outcome: string): void;
  /** One answered request. `route` is its pattern, so that ids make no series. */
  answered(route: string, status: number, seconds: number): void;
}

export function solarisMetrics(db: Db): SolarisMetrics {
  const registers = [new Registry()] as const;
  const kmsUses = new Counter({
    name: "solaris_kms_uses_total",
    help: "Uses of keys in KMS",
    labelNames: ["operation"],
    registers: [...registers],
  });
  const openings = new Counter({
    name: "solaris_openings_total",
    help: "Decisions over openings of tunnels",
    labelNames: ["outcome"],
    registers: [...registers],
  });
  const requests = new Histogram({
    name: "solaris_http_request_seconds",
    help: "Time to answer requests",
    labelNames: ["route", "status"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [...registers],
  });
  new Gauge({
    name: "solaris_agents",
    help: "Agents by state",
    labelNames: ["state"],
    registers: [...registers],
    async collect() {
      for (const [state, count] of Object.entries(await countAgents(db, undefined))) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "solaris_audit_entries",
    help: "Number of the newest audit entry",
    registers: [...registers],
    async collect() {
      this.set((await readHead(db)).number);
    },
  });
  return {
    registry: registers[0],
    kmsUsed: (operation) => kmsUses.inc({ operation }),
    opened: (outcome) => openings.inc({ outcome }),
    answered: (route, status, seconds) => requests.observe({ route, status: String(status) }, seconds),
  };
}
