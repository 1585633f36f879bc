import { Gauge, type Registry } from "prom-client";

/** How late the event loop ran since the last read, ms. */
interface LoopLag {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Shows in `registry` how late the event loop ran since the last scrape; `read` gives that and begins anew. */
export function gaugeLoopLag(registry: Registry, read: () => LoopLag): void {
  new Gauge({
    name: "process_event_loop_lag_seconds",
    help: "How late timers ran since the last scrape",
    labelNames: ["quantile"],
    registers: [registry],
    collect() {
      const { p50Ms, p99Ms, maxMs } = read();
      this.set({ quantile: "0.5" }, p50Ms / 1_000);
      this.set({ quantile: "0.99" }, p99Ms / 1_000);
      this.set({ quantile: "1" }, maxMs / 1_000);
    },
  });
}
