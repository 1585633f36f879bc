import { streamSSE } from "hono/streaming";
import { z } from "zod";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { idSchema, nameSchema, timeSchema } from "#lib/session";
import { customerToList } from "../../access/principal.ts";
import { newRouter, operation, principalOf, query } from "../../api/index.ts";
import type { Db, Seals } from "../../db/index.ts";
import type { Messenger } from "../../messenger/index.ts";
import { type Cursor, cursorText, parseCursor } from "./cursor.ts";
import type { ReceivedFeed } from "./feed.ts";
import { newestSeq, type ReceivedPage, readReceived } from "./reader.ts";

export interface ReceivedRouteDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly clock: Clock;
  readonly messenger: Messenger;
  readonly feed: ReceivedFeed;
  /** Aborts when the program stops: open streams end then. */
  readonly closing: AbortSignal;
}

const messageSchema = z
  .object({
    cursor: z.string(),
    agentId: nameSchema,
    plugin: nameSchema,
    id: idSchema,
    time: timeSchema.meta({ description: "When the site stored it." }),
    receivedAt: timeSchema,
    contentType: z.string().nullable(),
    sealed: z.boolean().meta({
      description:
        "It came sealed. For Solaris: verified, and shown opened; for another consumer: the ciphertext, which that one opens and verifies.",
    }),
    body: z.string().optional().meta({ description: "When the body is a text (UTF-8)." }),
    bodyBase64: z.string().optional().meta({ description: "When it is not." }),
  })
  .meta({ ref: "ReceivedMessage" });

const pageSchema = z.object({
  items: z.array(messageSchema),
  next: z.string().meta({ description: "`after` of the next request, also when nothing came." }),
});

const scopeQuery = z.object({
  customerId: nameSchema.optional(),
  agentId: nameSchema.optional(),
  plugin: nameSchema.optional(),
  after: z.string().max(32).optional().meta({ description: "Only what was stored behind this cursor." }),
});

const waitMaxSeconds = 60;
const streamsMax = 500;
const keepAliveMs = 15_000;
const streamPage = 100;

/** `/received`: what came up from the sites, by cursor or live. */
export function receivedRoutes(deps: ReceivedRouteDeps) {
  const tag = "Received";
  let streams = 0;

  return newRouter()
    .get(
      "/received",
      operation({
        tag,
        summary: "Read what came up, in the order in which it was stored",
        description:
          "Begin without `after` (the oldest that is kept) and go on with `next`: nothing is passed over and nothing comes twice. " +
          "`wait` seconds are waited for something new when there is nothing.",
        scope: "messages:read",
        answers: { 200: pageSchema },
        faults: ["not_found", "bad_request"],
      }),
      query(
        scopeQuery.extend({
          limit: z.coerce.number().int().min(1).max(1_000).default(100),
          wait: z.coerce.number().int().min(0).max(waitMaxSeconds).default(0),
        }),
      ),
      async (context) => {
        const { limit, wait, after, customerId: asked, ...rest } = context.req.valid("query");
        const scope = { ...rest, customerId: customerToList(principalOf(context), asked) };
        const signal = AbortSignal.any([context.req.raw.signal, deps.closing]);
        const page = await waitForPage(deps, scope, parseCursor(after), limit, wait * 1_000, signal);
        return context.json({ items: page.items, next: cursorText(page.next) });
      },
    )
    .get(
      "/received/stream",
      operation({
        tag,
        summary: "Follow what comes up, live",
        description:
          "Server-sent events: `id` is the cursor, `data` a message. Begins behind `Last-Event-ID` or `after`; without either, now.",
        scope: "messages:read",
        answers: { 200: messageSchema },
        faults: ["not_found", "bad_request", "limited"],
      }),
      query(scopeQuery),
      async (context) => {
        const { after, customerId: asked, ...rest } = context.req.valid("query");
        const scope = { ...rest, customerId: customerToList(principalOf(context), asked) };
        const from = context.req.header("last-event-id") ?? after;
        let cursor = from === undefined ? { seq: await newestSeq(deps.db), index: 1_023 } : parseCursor(from);
        if (streams >= streamsMax) throw new Fault("limited", `at most ${streamsMax} streams at a time`);
        streams += 1;
        context.header("cache-control", "no-store");
        return streamSSE(context, async (stream) => {
          const ended = new AbortController();
          stream.onAbort(() => ended.abort());
          const signal = AbortSignal.any([ended.signal, deps.closing]);
          try {
            await stream.write(": open\n\n");
            while (!signal.aborted) {
              const page = await waitForPage(deps, scope, cursor, streamPage, keepAliveMs, signal);
              for (const item of page.items)
                await stream.writeSSE({ id: item.cursor, event: "message", data: JSON.stringify(item) });
              if (page.items.length === 0) await stream.write(": still here\n\n");
              cursor = page.next;
            }
          } finally {
            streams -= 1;
          }
        });
      },
    );
}

/** The next page once there is something on it, or an empty one after `waitMs`. */
async function waitForPage(
  deps: ReceivedRouteDeps,
  scope: Parameters<typeof readReceived>[1],
  after: Cursor,
  limit: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<ReceivedPage> {
  const started = deps.clock.monotonic();
  let page = await readReceived(deps, scope, after, limit);
  while (page.items.length === 0 && !signal.aborted) {
    const left = waitMs - (deps.clock.monotonic() - started);
    if (left <= 0) break;
    await deps.feed.changed(page.next.seq, left, signal);
    page = await readReceived(deps, scope, page.next, limit);
  }
  return page;
}
