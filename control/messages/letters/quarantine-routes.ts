import { z } from "zod";
import { Fault } from "#lib/fault";
import { nameSchema, numberSchema, timeSchema } from "#lib/session";
import { customerToList, demandCustomer, type Principal } from "../../access/principal.ts";
import { idParam, newRouter, operation, pageOf, principalOf, query, toPage } from "../../api/index.ts";
import { quarantine } from "../tables.ts";
import { letterListQuery, numberOf, payload, recordLook } from "./payloads.ts";
import { listQuarantine, type QuarantineRow, quarantineById } from "./repo.ts";
import { discardQuarantined, releaseQuarantined, type SettleDeps } from "./settle-quarantine.ts";

const quarantinedSchema = z
  .object({
    id: numberSchema,
    agentId: nameSchema.nullable(),
    plugin: z.string().nullable(),
    kind: z.enum(["entry", "message"]),
    code: z.string(),
    reason: z.string(),
    message: z.string().nullable(),
    contentType: z.string().nullable(),
    size: numberSchema,
    at: timeSchema,
    time: timeSchema.nullable().meta({
      description: "When its site stored it; null for what is no message of the lane, which can't be released.",
    }),
    settled: z.enum(["released", "discarded"]).nullable(),
    settledAt: timeSchema.nullable(),
  })
  .meta({ ref: "Quarantined" });

/** `/quarantine`. */
export function quarantineRoutes(deps: SettleDeps) {
  const tag = "Received";

  async function find(by: Principal, text: string): Promise<QuarantineRow> {
    const row = await quarantineById(deps.db, numberOf(text));
    if (row === undefined) throw new Fault("not_found");
    demandCustomer(by, row.customerId);
    return row;
  }

  return newRouter()
    .get(
      "/quarantine",
      operation({
        tag,
        summary: "List what came up and was not taken, newest first",
        scope: "messages:read",
        answers: { 200: pageOf(quarantinedSchema) },
        faults: ["not_found"],
      }),
      query(
        letterListQuery.extend({
          open: z
            .stringbool()
            .optional()
            .meta({ description: "Only what nobody has decided about, or only the others." }),
        }),
      ),
      async (context) => {
        const { limit, after, customerId: asked, ...filter } = context.req.valid("query");
        const scope = { ...filter, customerId: customerToList(principalOf(context), asked), before: after };
        const rows = await listQuarantine(deps.db, scope, limit + 1);
        return context.json(toPage(rows, limit, ({ id }) => String(id), show));
      },
    )
    .get(
      "/quarantine/:id/payload",
      operation({
        tag,
        summary: "Get the payload of what was not taken",
        description: "Who looks is recorded in the audit log.",
        scope: "messages:read",
        answers: { 200: null },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await find(principalOf(context), context.req.valid("param").id);
        await recordLook(deps.audit, principalOf(context), row, "quarantine.read");
        return payload(await deps.seals.open(quarantine.body, row.origin, row.body));
      },
    )
    .post(
      "/quarantine/:id/release",
      operation({
        tag,
        summary: "Take a message all the same",
        description:
          "As it came, schema or not: with its own id and time, as the newest of all received messages. So whoever reads by cursor finds it behind everything that was received before, not where it would have stood. Again answers the same cursor; what was discarded, and what is no message of a lane, is a `conflict`.",
        scope: "messages:write",
        answers: { 200: z.object({ cursor: z.string().meta({ description: "Where it stands among the received." }) }) },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        const by = principalOf(context);
        const row = await find(by, context.req.valid("param").id);
        return context.json({ cursor: await releaseQuarantined(deps, by, row) });
      },
    )
    .post(
      "/quarantine/:id/discard",
      operation({
        tag,
        summary: "Decide that it shall not be taken",
        description:
          "Its payload stays readable here until it is purged. Again does nothing; what was released is a `conflict`.",
        scope: "messages:write",
        answers: { 204: null },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        const by = principalOf(context);
        await discardQuarantined(deps, by, await find(by, context.req.valid("param").id));
        return context.body(null, 204);
      },
    );
}

function show({
  customerId: _c,
  lane: _l,
  origin: _o,
  receivedSeq: _s,
  ...row
}: Omit<QuarantineRow, "body">): z.infer<typeof quarantinedSchema> {
  return row;
}
