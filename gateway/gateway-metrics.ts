import { Counter, Gauge, Histogram, Registry } from "#lib/metrics";

/** What the metrics read at each scrape. */
export interface GatewayState {
  sessions(): number;
  openingsPending(): number;
  admissionPerSecond(): number;
  outletConnections(): number;
}

/** Metrics of one gateway, in a registry of their own. */
export interface GatewayMetrics {
  readonly registry: Registry;
  /** Openings by outcome: `accepted`, or the code of the refusal. */
  readonly openings: Counter<"outcome">;
  /** Seconds from the request to Solaris' answer. */
  readonly openingSeconds: Histogram;
  /** Ended sessions by code. */
  readonly ended: Counter<"code">;
  readonly downEntries: Counter;
  readonly downBytes: Counter;
  readonly upEntries: Counter;
  readonly upBytes: Counter;
  /** Of portals of mode `terminated`: bytes of connections that have ended, and refused connections. */
  readonly outletBytes: Counter<"direction">;
  readonly outletRefusals: Counter<"code">;
}

/** Makes the metrics; gauges ask `state` when they are read. */
export function gatewayMetrics(state: GatewayState): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("nexus_sessions", "Sessions held now.", state.sessions);
  gauge("nexus_openings_pending", "Openings that wait for Solaris now.", state.openingsPending);
  gauge("nexus_admission_per_second", "Openings a second that are let through now.", state.admissionPerSecond);
  gauge("nexus_outlet_connections", "Connections of portals that end here now.", state.outletConnections);
  return {
    registry,
    openings: new Counter({ name: "nexus_openings_total", help: "Openings.", labelNames: ["outcome"], registers }),
    openingSeconds: new Histogram({
      name: "nexus_opening_seconds",
      help: "Time until an opening was judged.",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    ended: new Counter({
      name: "nexus_sessions_ended_total",
      help: "Ended sessions.",
      labelNames: ["code"],
      registers,
    }),
    downEntries: counter("nexus_down_entries_total", "Entries forwarded to agents."),
    downBytes: counter("nexus_down_bytes_total", "Bytes of entries forwarded to agents."),
    upEntries: counter("nexus_up_entries_total", "Entries of agents that the broker has stored."),
    outletBytes: new Counter({
      name: "nexus_outlet_bytes_total",
      help: "Bytes of connections of portals that ended here, once they have ended.",
      labelNames: ["direction"],
      registers,
    }),
    outletRefusals: new Counter({
      name: "nexus_outlet_refusals_total",
      help: "Refused connections of portals that end here.",
      labelNames: ["code"],
      registers,
    }),
    upBytes: counter("nexus_up_bytes_total", "Bytes of entries of agents that the broker has stored."),
  };
}
