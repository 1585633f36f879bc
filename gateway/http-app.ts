import { Hono } from "hono";
import { asFault, Fault } from "#lib/fault";
import type { Registry } from "#lib/metrics";
import type { HttpConnection } from "#lib/runtime";
import type { EnrollmentDoor } from "./enroll/enrollment-door.ts";
import { problemAnswer } from "./http-problem.ts";
import type { TunnelDoor } from "./tunnel/tunnel-door.ts";

/** Whether agents are admitted. */
export interface Health {
  readonly ready: boolean;
  /** Why not. */
  readonly reason?: string;
}

/** What the routes lead to. */
export interface HttpSurface {
  readonly door: Pick<TunnelDoor, "open">;
  readonly enrollment: Pick<EnrollmentDoor, "authority" | "enroll">;
  readonly registry: Registry;
  health(): Health;
  /** True address of the client. */
  address(request: Request, connection: HttpConnection): string;
  /** Whether the request came over TLS, from this machine, or over what the operator declared safe. */
  secure(request: Request, connection: HttpConnection): boolean;
}

/** Everything that agents and load balancers reach. */
export function httpApp(surface: HttpSurface, withMetrics: boolean): Hono<{ Bindings: HttpConnection }> {
  const { door, enrollment, address, secure } = surface;
  const app = new Hono<{ Bindings: HttpConnection }>()
    .get("/tunnel", ({ req: { raw }, env }) => door.open(raw, env, address(raw, env), secure(raw, env)))
    .get("/enroll", () => enrollment.authority())
    .post("/enroll", ({ req: { raw }, env }) => enrollment.enroll(raw, address(raw, env), secure(raw, env)));
  withHealth(app, surface);
  if (withMetrics) withMetricsRoute(app, surface);
  return withEnds(app);
}

/** What operators reach, on a listener of its own. */
export function managementApp(surface: HttpSurface): Hono {
  const app = new Hono();
  withHealth(app, surface);
  withMetricsRoute(app, surface);
  return withEnds(app);
}

function withHealth<Env extends object>(app: Hono<Env>, { health }: HttpSurface): void {
  app.get("/healthz", () => Response.json({ ok: true }));
  app.get("/readyz", () => {
    const { ready, reason } = health();
    return Response.json({ ready, ...(reason === undefined ? {} : { reason }) }, { status: ready ? 200 : 503 });
  });
}

function withMetricsRoute<Env extends object>(app: Hono<Env>, { registry }: HttpSurface): void {
  app.get("/metrics", async () => {
    return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
  });
}

function withEnds<Env extends object>(app: Hono<Env>): Hono<Env> {
  app.notFound(() => problemAnswer(new Fault("not_found")));
  app.onError((error) => problemAnswer(asFault(error, "internal")));
  return app;
}
