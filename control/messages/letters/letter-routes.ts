import { z } from "zod";
import { Fault } from "#lib/fault";
import { idSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import { actorOf, customerToList, demandCustomer, type Principal } from "../../access/principal.ts";
import { idParam, newRouter, operation, pageOf, principalOf, query, type SliceDeps, toPage } from "../../api/index.ts";
import type { Pusher } from "../push/pusher.ts";
import type { Targets } from "../push/target.ts";
import { messagesById } from "../repo.ts";
import { letters } from "../tables.ts";
import { letterListQuery, numberOf, payload, recordLook } from "./payloads.ts";
import { type LetterRow, letterById, listLetters, markReplayed } from "./repo.ts";

export interface LetterRouteDeps extends Pick<SliceDeps, "db" | "seals" | "audit" | "clock"> {
  readonly targets: Targets;
  readonly pusher: Pusher;
}

const letterSchema = z
  .object({
    id: numberSchema,
    agentId: nameSchema,
    plugin: z.string(),
    kind: z.enum(["dead", "unknown"]),
    message: idSchema.nullable().meta({ description: "Null when what the site found was no message." }),
    code: z.string(),
    reason: z.string().nullable(),
    tries: numberSchema.nullable(),
    contentType: z.string().nullable(),
    size: numberSchema,
    at: timeSchema,
    storedAt: timeSchema,
    settled: z.enum(["retry", "applied", "dead", "replayed"]).nullable(),
    settledAt: timeSchema.nullable(),
    replay: idSchema.nullable(),
  })
  .meta({ ref: "DeadLetter" });

/** `/dead-letters`. */
export function letterRoutes(deps: LetterRouteDeps) {
  const tag = "Dead letters";

  async function find(by: Principal, id: number): Promise<LetterRow> {
    const row = await letterById(deps.db, id);
    if (row === undefined) throw new Fault("not_found");
    demandCustomer(by, row.customerId);
    return row;
  }

  return newRouter()
    .get(
      "/dead-letters",
      operation({
        tag,
        summary: "List messages that their sites gave up, or whose outcome is unknown, newest first",
        scope: "messages:read",
        answers: { 200: pageOf(letterSchema) },
        faults: ["not_found"],
      }),
      query(
        letterListQuery.extend({
          kind: z.enum(["dead", "unknown"]).optional(),
          open: z
            .stringbool()
            .optional()
            .meta({ description: "Only those that nobody has dealt with, or only the others." }),
        }),
      ),
      async (context) => {
        const { limit, after, customerId: asked, ...filter } = context.req.valid("query");
        const scope = { ...filter, customerId: customerToList(principalOf(context), asked), before: after };
        return context.json(
          toPage(await listLetters(deps.db, scope, limit + 1), limit, ({ id }) => String(id), showLetter),
        );
      },
    )
    .get(
      "/dead-letters/:id",
      operation({
        tag,
        summary: "Get a dead letter",
        scope: "messages:read",
        answers: { 200: letterSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const { body: _, ...row } = await find(principalOf(context), numberOf(context.req.valid("param").id));
        return context.json(showLetter(row));
      },
    )
    .get(
      "/dead-letters/:id/payload",
      operation({
        tag,
        summary: "Get the payload of a dead letter",
        description: "The bytes as they were pushed. Who looks is recorded in the audit log.",
        scope: "messages:read",
        answers: { 200: null },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await find(principalOf(context), numberOf(context.req.valid("param").id));
        await recordLook(deps.audit, principalOf(context), row, "dead-letter.read");
        return payload(await deps.seals.open(letters.body, row.origin, row.body));
      },
    )
    .post(
      "/dead-letters/:id/replay",
      operation({
        tag,
        summary: "Push a dead message again",
        description:
          "As a new message at the end of its lane; its plugin sees the id of the first as `Idempotency-Key`. Again gives the same message.",
        scope: "messages:write",
        answers: { 202: z.object({ id: idSchema }) },
        faults: ["not_found", "conflict", "unknown_plugin", "revoked", "lane_full", "unavailable"],
      }),
      idParam("id"),
      async (context) => {
        const by = principalOf(context);
        const row = await find(by, numberOf(context.req.valid("param").id));
        return context.json({ id: await replay(deps, by, row) }, 202);
      },
    );
}

/** A new message with the payload of a dead one. Fault `conflict` while its outcome is unknown or when it was applied. */
async function replay(deps: LetterRouteDeps, by: Principal, row: LetterRow): Promise<string> {
  if (row.message === null) throw new Fault("conflict", "what the site found was no message");
  if (row.kind === "unknown" && row.settled !== "dead" && row.settled !== "replayed")
    throw new Fault("conflict", "settle it first: it may have taken effect");
  if (row.agentId === null || row.plugin === null) throw new Fault("not_found");
  const { lane } = await deps.targets.find(by, row.agentId, row.plugin);
  const body = await deps.seals.open(letters.body, row.origin, row.body);
  const [first] = (await messagesById(deps.db, [row.message])).filter((message) => message.lane === row.lane);
  const item = {
    body,
    key: `\u0001replay of letter ${row.id}`, // no caller's key begins so,
    replays: first?.replays ?? row.message,
    ...(row.contentType === null ? {} : { contentType: row.contentType }),
  };
  const [result = new Fault("internal")] = await deps.pusher.push(lane, [item]);
  if (result instanceof Fault) throw result;
  const event = {
    actor: actorOf(by),
    action: "dead-letter.replayed",
    subject: row.agentId,
    customerId: lane.customerId,
  };
  const detail = { id: row.id, plugin: row.plugin, message: row.message, replay: result.id };
  await deps.audit.record({ ...event, detail }, markReplayed(row.id, result.id, deps.clock.now()));
  return result.id;
}

function showLetter({ customerId: _c, lane: _l, origin: _o, position: _p, ...row }: Omit<LetterRow, "body">) {
  return { ...row, agentId: row.agentId ?? "", plugin: row.plugin ?? "" };
}
