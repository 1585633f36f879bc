import { z } from "zod";
import { asFault, Fault } from "#lib/fault";
import { bodyBytesMax, pushBatchBytesMax, pushBatchMessagesMax, sealedBytesMax } from "#lib/limits";
import { idSchema } from "#lib/session";
import { isSealed, sealedContentType } from "#lib/statement";
import type { Principal } from "../../access/principal.ts";
import { type ApiContext, idParam, newRouter, operation, principalOf } from "../../api/index.ts";
import type { Db } from "../../db/index.ts";
import { checkedIdempotencyKey } from "../message-id.ts";
import type { MessageMetrics } from "../message-metrics.ts";
import { isFinal, type MessageState, messageStates } from "../message-state.ts";
import { type MessageRow, messagesById } from "../repo.ts";
import type { MessageWatch } from "../watch.ts";
import type { PushResult } from "./lane-publisher.ts";
import { preferredWaitMs } from "./prefer.ts";
import { isContentType, type PushItem, parseBatch } from "./push-item.ts";
import type { Pusher } from "./pusher.ts";
import type { RateLimiter } from "./rate-limiter.ts";
import type { Targets } from "./target.ts";

export interface PushRouteDeps {
  readonly db: Db;
  readonly targets: Targets;
  readonly pusher: Pusher;
  readonly limiter: RateLimiter;
  readonly watch: MessageWatch;
  readonly metrics: Pick<MessageMetrics, "pushed">;
}

const pushedSchema = z
  .object({
    id: idSchema,
    state: z.enum(messageStates),
    repeated: z.boolean().meta({ description: "The `Idempotency-Key` had brought this message before." }),
  })
  .meta({ ref: "PushedMessage" });

const batchSchema = z
  .object({
    items: z.array(z.union([pushedSchema, z.object({ code: z.string(), title: z.string() })])).meta({
      description: "In the order of the request: the message, or why it was not taken.",
    }),
  })
  .meta({ ref: "PushedBatch" });

const faults = [
  "not_found",
  "unknown_plugin",
  "revoked",
  "bad_request",
  "invalid",
  "too_large",
  "idempotency_conflict",
  "limited",
  "lane_full",
  "unavailable",
] as const;

const promises =
  "Answered once the message is durable here and at the broker; *applied* means that the plugin at the site acknowledged it. " +
  "The same `Idempotency-Key` is the same message for at least 24 hours; with another body it is refused (409). " +
  "After a 5xx the same key makes it safe to push again. `Prefer: wait=N` (at most 60) waits for `applied`, `unknown` or `dead`: " +
  "200 when all are, else 202. What is pushed under a suspended licence waits.";

const sealedText =
  "To a plugin with `sealed` the message goes sealed, signed by Solaris; a sender with an identity of its own hands it in sealed: " +
  `\`Content-Type: ${sealedContentType}\` and the \`Idempotency-Key\` that the signed id was made of.`;

/** `/agents/{agent}/plugins/{plugin}/messages` and `…:batch`. */
export function pushRoutes(deps: PushRouteDeps) {
  const tag = "Messages";

  async function push(by: Principal, agent: string, plugin: string, items: readonly PushItem[]): Promise<PushResult[]> {
    const { lane, licence } = await deps.targets.find(by, agent, plugin);
    await deps.limiter.spend(licence, items.length);
    const results = await deps.pusher.push(lane, items);
    for (const result of results) deps.metrics.pushed(result instanceof Fault ? result.code : "taken", 1);
    return results;
  }

  /** States of those that were taken, by id, after the wait that the caller prefers. */
  async function statesOf(context: ApiContext, results: readonly PushResult[]): Promise<Map<string, MessageState>> {
    const waitMs = preferredWaitMs(context.req.header("prefer"));
    if (waitMs > 0) context.header("preference-applied", `wait=${waitMs / 1_000}`);
    const taken = results.flatMap((result) => (result instanceof Fault ? [] : [result]));
    // What was new a moment ago is queued; only a repeat or a wait is worth a look.
    const looked = taken.filter(({ repeated }) => repeated || waitMs > 0).map(({ id }) => id);
    const rows = looked.length === 0 ? [] : await look(looked, waitMs, context.req.raw.signal);
    return new Map(rows.map(({ id, state }) => [id, state]));
  }

  const look = (ids: readonly string[], waitMs: number, signal: AbortSignal): Promise<MessageRow[]> =>
    waitMs > 0 ? deps.watch.final(ids, waitMs, signal) : messagesById(deps.db, ids);

  return newRouter()
    .post(
      "/agents/:agent/plugins/:plugin/messages",
      operation({
        tag,
        summary: "Push a message to a site",
        description: `The body is the message: any bytes up to ${bodyBytesMax}, any content type. ${sealedText} ${promises}`,
        scope: "messages:write",
        answers: { 200: pushedSchema, 202: pushedSchema },
        faults,
      }),
      idParam("agent", "plugin"),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const item = await itemOf(context);
        const [result = new Fault("internal")] = await push(principalOf(context), agent, plugin, [item]);
        if (result instanceof Fault) throw result;
        const state = (await statesOf(context, [result])).get(result.id) ?? "queued";
        return context.json({ ...result, state }, isFinal(state) ? 200 : 202);
      },
    )
    .post(
      "/agents/:agent/plugins/:plugin/messages:batch",
      operation({
        tag,
        summary: "Push messages to a site",
        description:
          `A JSON array of 1 to ${pushBatchMessagesMax} of \`{body | bodyBase64 | json, contentType?, idempotencyKey?}\`, ` +
          `at most ${pushBatchBytesMax} bytes in all; applied in this order. 207 when some were not taken. ${promises}`,
        scope: "messages:write",
        answers: { 200: batchSchema, 202: batchSchema, 207: batchSchema },
        faults,
      }),
      idParam("agent", "plugin"),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const results = await push(principalOf(context), agent, plugin, parseBatch(await textOf(context)));
        const refused = results.filter((result) => result instanceof Fault);
        const [first] = refused;
        if (first !== undefined && refused.length === results.length) throw first;
        const states = await statesOf(context, results);
        const items = results.map((result) =>
          result instanceof Fault
            ? { code: result.code, title: result.entry.text }
            : { ...result, state: states.get(result.id) ?? ("queued" as const) },
        );
        const final = items.every((item) => "state" in item && isFinal(item.state));
        return context.json({ items }, refused.length > 0 ? 207 : final ? 200 : 202);
      },
    );
}

async function itemOf(context: ApiContext): Promise<PushItem> {
  const contentType = context.req.header("content-type");
  if (contentType !== undefined && !isContentType(contentType))
    throw new Fault("bad_request", "Content-Type: at most 200 printable ASCII characters");
  const key = checkedIdempotencyKey(context.req.header("idempotency-key"));
  const body = new Uint8Array(await context.req.arrayBuffer());
  const sealed = isSealed({ contentType });
  if (body.length > (sealed ? sealedBytesMax : bodyBytesMax))
    throw new Fault("too_large", `a message has at most ${bodyBytesMax} bytes`);
  if (sealed && key === undefined)
    throw new Fault("bad_request", "a sealed message needs the Idempotency-Key that its id was made of");
  return {
    body,
    ...(contentType === undefined ? {} : { contentType }),
    ...(key === undefined ? {} : { key }),
  };
}

async function textOf(context: ApiContext): Promise<string> {
  try {
    const text = await context.req.text();
    if (text.length > pushBatchBytesMax) throw new Fault("too_large", `a batch has at most ${pushBatchBytesMax} bytes`);
    return text;
  } catch (error) {
    throw asFault(error, "bad_request", "the body could not be read");
  }
}
