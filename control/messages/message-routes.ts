import { z } from "zod";
import { Fault } from "#lib/fault";
import { type Command, idSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import { customerToList, demandCustomer, type Principal } from "../access/principal.ts";
import { findAgent } from "../agents/index.ts";
import { body, idParam, newRouter, operation, pageOf, pageQuery, principalOf, query, toPage } from "../api/index.ts";
import type { Db } from "../db/index.ts";
import { laneDepths, listMessages } from "./message-list.ts";
import { isFinal, messageStates } from "./message-state.ts";
import { preferredWaitMs } from "./push/prefer.ts";
import { type MessageRow, messagesById, progressTimes } from "./repo.ts";
import type { MessageWatch } from "./watch.ts";

export interface MessageRouteDeps {
  readonly db: Db;
  readonly watch: MessageWatch;
  /** Gives an order to a node; resolves once the broker has it. */
  readonly order: (by: Principal, agentId: string, command: Command) => Promise<{ readonly id: string }>;
}

const shownSchema = z
  .object({
    id: idSchema,
    agentId: nameSchema,
    plugin: nameSchema,
    state: z.enum(messageStates),
    size: numberSchema,
    contentType: z.string().nullable(),
    replays: idSchema.nullable().meta({ description: "The message that this one is a replay of." }),
    createdAt: timeSchema,
    code: z.string().nullable().meta({ description: "Why it is dead or unknown." }),
    reason: z.string().nullable(),
    tries: numberSchema.nullable(),
    outcomeAt: timeSchema.nullable(),
  })
  .meta({ ref: "Message" });

const detailSchema = shownSchema
  .extend({ storedAt: timeSchema.nullable(), appliedAt: timeSchema.nullable() })
  .meta({ ref: "MessageDetail" });

const depthSchema = z
  .object({
    plugin: nameSchema,
    queued: numberSchema,
    stored: numberSchema,
    at: timeSchema.nullable(),
    waiting: z.string().nullable(),
  })
  .meta({ ref: "LaneDepth" });

const settleSchema = z.strictObject({
  decision: z.enum(["retry", "applied", "dead"]).meta({
    description: "`retry`: try again at the site; `applied`: it took effect; `dead`: it did not and shall not.",
  }),
});

/** `/messages`: what became of what was pushed. */
export function messageRoutes(deps: MessageRouteDeps) {
  const tag = "Messages";

  async function find(by: Principal, id: string): Promise<MessageRow> {
    const [row] = await messagesById(deps.db, [id]);
    if (row === undefined) throw new Fault("not_found");
    demandCustomer(by, row.customerId);
    return row;
  }

  return newRouter()
    .get(
      "/messages",
      operation({
        tag,
        summary: "List messages, newest first",
        scope: "messages:read",
        answers: { 200: pageOf(shownSchema) },
        faults: ["not_found"],
      }),
      query(
        pageQuery.extend({
          after: z.coerce.number().int().min(0).optional(),
          customerId: nameSchema.optional(),
          agentId: nameSchema.optional(),
          plugin: nameSchema.optional(),
          state: z.enum(messageStates).optional(),
        }),
      ),
      async (context) => {
        const { limit, after, customerId: asked, ...filter } = context.req.valid("query");
        const customerId = customerToList(principalOf(context), asked);
        const rows = await listMessages(deps.db, { ...filter, customerId, before: after }, limit + 1);
        return context.json(toPage(rows, limit, ({ place }) => String(place), show));
      },
    )
    .get(
      "/messages/:id",
      operation({
        tag,
        summary: "Get the state of a message",
        description: "`Prefer: wait=N` (at most 60) waits for `applied`, `unknown` or `dead`.",
        scope: "messages:read",
        answers: { 200: detailSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const { id } = context.req.valid("param");
        let row = await find(principalOf(context), id);
        const waitMs = preferredWaitMs(context.req.header("prefer"));
        if (waitMs > 0 && !isFinal(row.state))
          [row = row] = await deps.watch.final([id], waitMs, context.req.raw.signal);
        const times = await progressTimes(deps.db, row);
        const appliedAt = row.state === "applied" ? (row.outcomeAt ?? times.appliedAt) : null;
        return context.json({ ...show(row), storedAt: row.state === "queued" ? null : times.storedAt, appliedAt });
      },
    )
    .post(
      "/messages/:id/settle",
      operation({
        tag,
        summary: "Decide about a message whose outcome is unknown",
        description: "Sent to the node as a command, which says what became of it.",
        scope: "messages:write",
        answers: { 202: z.object({ commandId: nameSchema }) },
        faults: ["not_found", "conflict", "revoked", "unavailable"],
      }),
      idParam("id"),
      body(settleSchema),
      async (context) => {
        const by = principalOf(context);
        const row = await find(by, context.req.valid("param").id);
        if (row.state !== "unknown") throw new Fault("conflict", `this message is ${row.state}`);
        const { decision } = context.req.valid("json");
        const command = { name: "settle", plugin: row.plugin, message: row.id, decision } as const;
        const { id } = await deps.order(by, row.agentId, command);
        return context.json({ commandId: id }, 202);
      },
    )
    .get(
      "/agents/:agent/lanes",
      operation({
        tag,
        summary: "Get what waits in the lanes of an agent",
        scope: "messages:read",
        answers: { 200: z.object({ items: z.array(depthSchema) }) },
        faults: ["not_found"],
      }),
      idParam("agent"),
      async (context) => {
        const { agent } = context.req.valid("param");
        await findAgent(deps, principalOf(context), agent);
        return context.json({ items: await laneDepths(deps.db, agent) });
      },
    );
}

function show(row: MessageRow): z.infer<typeof shownSchema> {
  const { id, agentId, plugin, state, size, contentType, replays, createdAt, code, reason, tries, outcomeAt } = row;
  return { id, agentId, plugin, state, size, contentType, replays, createdAt, code, reason, tries, outcomeAt };
}
