import type { Clock } from "#lib/clock";
import { Gauge, type Registry } from "#lib/metrics";
import { monitorLoopLag } from "./loop-lag.ts";

/** Shows in `registry` how late the event loop ran since the last scrape; ends when disposed. */
export function gaugeLoopLag(registry: Registry, clock: Clock): Disposable {
  const monitor = monitorLoopLag(clock);
  new Gauge({
    name: "process_event_loop_lag_seconds",
    help: "How late timers ran since the last scrape",
    labelNames: ["quantile"],
    registers: [registry],
    collect() {
      const { p50Ms, p99Ms, maxMs } = monitor.read();
      this.set({ quantile: "0.5" }, p50Ms / 1_000);
      this.set({ quantile: "0.99" }, p99Ms / 1_000);
      this.set({ quantile: "1" }, maxMs / 1_000);
    },
  });
  return monitor;
}
