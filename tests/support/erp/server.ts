import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { z } from "zod";
import type { Ledger } from "./ledger.ts";

/** How the ERP behaves; changed through `PUT /behaviour`, as a test or a demo needs it. */
export interface Behaviour {
  /** Whether a repeated `Idempotency-Key` is answered with the first booking. */
  honourKeys: boolean;
  /** `down` answers 503, `hang` never answers, `locked-out` 401. */
  state: "up" | "down" | "hang" | "locked-out";
  /** Orders of this number are answered with 500, however often they come. */
  failNumber: string | null;
  /** Added to each booking. */
  delayMs: number;
}

const behaviourSchema = z.strictObject({
  honourKeys: z.boolean().optional(),
  state: z.enum(["up", "down", "hang", "locked-out"]).optional(),
  failNumber: z.string().nullable().optional(),
  delayMs: z.int().min(0).max(60_000).optional(),
});

const orderSchema = z.object({
  number: z.string().min(1).max(100),
  sku: z.string().max(100),
  quantity: z.int().min(1),
});

/**
 * A small ERP: orders in, stock changes out, Basic authentication on both. `/behaviour`, `/summary` and
 * `/orders/numbers` are for whoever watches it, behind the same authentication.
 */
export function erpApp(
  ledger: Ledger,
  credentials: { username: string; password: string },
  behaviour: Behaviour,
): Hono {
  const app = new Hono();
  app.use(basicAuth(credentials));

  app.get("/summary", (context) => context.json(ledger.summary()));
  app.get("/orders/numbers", (context) => context.json(ledger.numbers()));
  app.put("/behaviour", async (context) => {
    Object.assign(behaviour, behaviourSchema.parse(await context.req.json()));
    return context.json(behaviour);
  });

  app.use(async (context, next) => {
    if (behaviour.state === "down") return context.json({ error: "maintenance" }, 503);
    if (behaviour.state === "locked-out") return context.json({ error: "password changed" }, 401);
    if (behaviour.state === "hang") await new Promise<never>(() => undefined);
    await next();
  });

  app.get("/health", (context) => context.json({ ok: true }));
  app.post("/orders", async (context) => {
    const order = orderSchema.safeParse(await context.req.json().catch(() => null));
    if (!order.success) return context.json({ error: "not an order" }, 422);
    if (behaviour.failNumber === order.data.number) return context.json({ error: "posting period closed" }, 500);
    if (behaviour.delayMs > 0) await Bun.sleep(behaviour.delayMs);
    const key = behaviour.honourKeys ? context.req.header("Idempotency-Key") : undefined;
    const { row, repeated } = ledger.book(order.data, key);
    return context.json({ document: row }, repeated ? 200 : 201);
  });
  app.get("/stock-changes", (context) => {
    const since = Number(context.req.query("since") ?? 0);
    return context.json(ledger.stockChanges(Number.isSafeInteger(since) ? since : 0, 200));
  });
  return app;
}
