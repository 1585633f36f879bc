import { Hono } from "hono";
import type { Registry } from "#lib/metrics";

/** Whether it serves, and if not, why. */
export type Health = { readonly ready: true } | { readonly ready: false; readonly reason: string };

/** `/healthz`: the process lives. `/readyz`: 200 while it serves, else 503 with the reason. */
export function healthRoutes(health: () => Promise<Health>) {
  return new Hono()
    .get("/healthz", (context) => context.text("ok"))
    .get("/readyz", async (context) => {
      const found = await health();
      return context.json(found, found.ready ? 200 : 503);
    });
}

/** `/metrics` in Prometheus' text form. */
export function metricsRoutes(registry: Registry) {
  return new Hono().get("/metrics", async (context) =>
    context.text(await registry.metrics(), 200, { "content-type": registry.contentType }),
  );
}
