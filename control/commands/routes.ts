import { z } from "zod";
import { decodeJson } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { commandSchema, nameSchema, timeSchema } from "#lib/session";
import { customerToList, demandCustomer } from "../access/principal.ts";
import { findAgent } from "../agents/index.ts";
import {
  body,
  idParam,
  newRouter,
  once,
  operation,
  pageOf,
  pageQuery,
  principalOf,
  query,
  toPage,
} from "../api/index.ts";
import { preferredWaitMs } from "../messages/push/prefer.ts";
import { type CommandRow, commandById, listCommands } from "./repo.ts";
import { type CommandDeps, commandAnswered, commandLifeMaxMs, type GiveCommand } from "./service.ts";
import { commands } from "./tables.ts";

const commandStateSchema = z.enum(["sent", "done", "failed", "expired"]);

const shownSchema = z
  .object({
    id: nameSchema,
    agentId: nameSchema,
    name: z.string(),
    detail: z.record(z.string(), z.string()),
    state: commandStateSchema,
    createdAt: timeSchema,
    createdBy: z.string(),
    expiresAt: timeSchema,
    answeredAt: timeSchema.nullable(),
    code: z.string().nullable(),
    reason: z.string().nullable(),
    result: z.unknown(),
  })
  .meta({ ref: "Command" });

const orderSchema = z.strictObject({
  command: commandSchema,
  lifeMs: z
    .int()
    .min(1_000)
    .max(commandLifeMaxMs)
    .default(60_000)
    .meta({ description: "How long the node may still run it." }),
});

/** `/agents/{agent}/commands`, `/commands`. */
export function commandRoutes(deps: CommandDeps & { readonly give: GiveCommand }) {
  const tag = "Commands";

  async function show({ customerId: _customer, ok, result, ...row }: CommandRow) {
    const opened = result === null ? null : decodeJson(await deps.seals.open(commands.result, row.id, result));
    return { ...row, state: stateOf({ ok, ...row }, deps.clock.now()), result: opened };
  }

  return newRouter()
    .post(
      "/agents/:agent/commands",
      operation({
        tag,
        summary: "Give a command to a node",
        description:
          "Signed, sealed to the node, run once, expiring. `Prefer: wait=N` (at most 60) waits for the answer: 200 with it, else 202. A repeat under the same `Idempotency-Key` gives no second command and answers what became of the first.",
        once: true,
        scope: "commands:write",
        answers: { 200: shownSchema, 202: shownSchema },
        faults: ["not_found", "invalid", "conflict", "revoked", "unavailable"],
      }),
      idParam("agent"),
      body(orderSchema),
      async (context) => {
        const { agent } = context.req.valid("param");
        const waitMs = preferredWaitMs(context.req.header("prefer"));
        const { id } = await once<{ id: string }>(deps, context, (keep) =>
          deps.give(principalOf(context), agent, context.req.valid("json"), ({ id }) => keep({ id })),
        );
        const row = await commandAnswered(deps, id, waitMs, context.req.raw.signal);
        if (waitMs > 0) context.header("preference-applied", `wait=${waitMs / 1_000}`);
        return context.json(await show(row), row.answeredAt === null ? 202 : 200);
      },
    )
    .get(
      "/agents/:agent/commands",
      operation({
        tag,
        summary: "List the commands of a node, newest first",
        scope: "agents:read",
        answers: { 200: pageOf(shownSchema) },
        faults: ["not_found"],
      }),
      idParam("agent"),
      query(pageQuery),
      async (context) => {
        const { agent } = context.req.valid("param");
        const { limit, after } = context.req.valid("query");
        await findAgent(deps, principalOf(context), agent);
        const rows = await listCommands(deps.db, { agentId: agent, before: after }, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ id }) => id,
          (row) => row,
        );
        return context.json({ ...page, items: await Promise.all(page.items.map(show)) });
      },
    )
    .get(
      "/commands",
      operation({
        tag,
        summary: "List commands, newest first",
        scope: "agents:read",
        answers: { 200: pageOf(shownSchema) },
      }),
      query(pageQuery.extend({ customerId: nameSchema.optional() })),
      async (context) => {
        const { limit, after, customerId: asked } = context.req.valid("query");
        const customerId = customerToList(principalOf(context), asked);
        const rows = await listCommands(deps.db, { customerId, before: after }, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ id }) => id,
          (row) => row,
        );
        return context.json({ ...page, items: await Promise.all(page.items.map(show)) });
      },
    )
    .get(
      "/commands/:id",
      operation({
        tag,
        summary: "Get a command and its answer",
        scope: "agents:read",
        answers: { 200: shownSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await commandById(deps.db, context.req.valid("param").id);
        if (row === undefined) throw new Fault("not_found");
        demandCustomer(principalOf(context), row.customerId);
        return context.json(await show(row));
      },
    );
}

function stateOf(
  { ok, answeredAt, expiresAt }: Pick<CommandRow, "ok" | "answeredAt" | "expiresAt">,
  nowMs: number,
): z.infer<typeof commandStateSchema> {
  if (answeredAt !== null) return ok === true ? "done" : "failed";
  return nowMs > expiresAt ? "expired" : "sent";
}
