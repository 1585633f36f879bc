/**
 * An HTTP load in a process of its own: `bun http-load.ts` with its settings as JSON on standard input; prints one
 * JSON line. Bounded in time. Posts bodies of `bodyBytes`, as fast as `connections` allow or at `ratePerSecond`.
 */
import { z } from "zod";

const settingsSchema = z.strictObject({
  url: z.url(),
  headers: z.record(z.string(), z.string()).default({}),
  connections: z.int().min(1).max(512),
  timeMs: z.int().min(100).max(120_000),
  bodyBytes: z
    .int()
    .min(1)
    .max(1 << 20),
  /** Messages in one request: 1 posts the body itself, more a JSON array as `:batch` takes it. */
  batch: z.int().min(1).max(500).default(1),
  ratePerSecond: z.number().positive().optional(),
});

export type LoadSettings = z.input<typeof settingsSchema>;

export interface LoadResult {
  /** ms since 1970 */
  readonly beganAt: number;
  readonly messages: number;
  readonly seconds: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function load(settings: z.output<typeof settingsSchema>): Promise<LoadResult> {
  const text = "x".repeat(settings.bodyBytes);
  const body =
    settings.batch === 1 ? text : JSON.stringify(Array.from({ length: settings.batch }, () => ({ body: text })));
  const headers = {
    "content-type": settings.batch === 1 ? "application/octet-stream" : "application/json",
    ...settings.headers,
  };
  const latencies: number[] = [];
  let sent = 0;
  let failed = 0;
  const beganAt = Date.now();
  const began = performance.now();
  const elapsedMs = () => performance.now() - began;
  const connection = async () => {
    while (elapsedMs() < settings.timeMs) {
      const mine = sent++;
      // At a rate, the clock of each request starts when it was due: a stall counts for all that it held up.
      const dueMs = settings.ratePerSecond === undefined ? elapsedMs() : (mine * 1_000) / settings.ratePerSecond;
      if (dueMs > settings.timeMs) return;
      if (dueMs > elapsedMs()) await Bun.sleep(dueMs - elapsedMs());
      const startMs = settings.ratePerSecond === undefined ? elapsedMs() : Math.max(dueMs, 0);
      const answer = await fetch(settings.url, { method: "POST", headers, body });
      await answer.arrayBuffer();
      latencies.push(elapsedMs() - startMs);
      if (!answer.ok) failed++;
    }
  };
  await Promise.all(Array.from({ length: settings.connections }, connection));
  const seconds = elapsedMs() / 1_000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  const messages = (latencies.length - failed) * settings.batch;
  return { beganAt, messages, seconds, failed, p50Ms: at(0.5), p99Ms: at(0.99) };
}

console.log(JSON.stringify(await load(settingsSchema.parse(await Bun.stdin.json()))));
