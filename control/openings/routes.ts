import { z } from "zod";
import {
  authorizeAnswerSchema,
  authorizeRequestSchema,
  nameSchema,
  numberSchema,
  readyRequestSchema,
  refreshAnswerSchema,
  refreshRequestSchema,
  timeSchema,
} from "#lib/session";
import { findAgent } from "../agents/index.ts";
import {
  body,
  idParam,
  newRouter,
  operation,
  pageOf,
  pageQuery,
  principalOf,
  query,
  type SliceDeps,
  toPage,
} from "../api/index.ts";
import { newNexusRouter } from "../gateways/index.ts";
import { authorize, type OpeningDeps } from "./authorize.ts";
import { refusalsOf } from "./refusals.ts";
import { openingsOf } from "./repo.ts";
import { ready, refresh, type SessionDeps } from "./session.ts";

/** `POST /nexus/v1/authorize`, `/ready`, `/refresh`. */
export function openingNexusRoutes(deps: OpeningDeps & SessionDeps & { readonly opened: (outcome: string) => void }) {
  return newNexusRouter()
    .post("/authorize", body(authorizeRequestSchema), async (context) => {
      const gateway = context.get("gateway");
      const asked = context.req.valid("json");
      await deps.demandReplica(gateway, asked.nexus);
      const answer = await authorize(deps, { ...asked, gateway });
      deps.opened(answer.decision === "refuse" ? answer.code : answer.decision);
      return context.json(authorizeAnswerSchema.parse(answer));
    })
    .post("/ready", body(readyRequestSchema), async (context) => {
      await ready(deps, context.get("gateway"), context.req.valid("json"));
      return context.body(null, 204);
    })
    .post("/refresh", body(refreshRequestSchema), async (context) => {
      const { chain, ...session } = context.req.valid("json");
      return context.json(refreshAnswerSchema.parse(await refresh(deps, context.get("gateway"), session, chain)));
    });
}

const openingSchema = z
  .object({
    id: nameSchema,
    at: timeSchema,
    outcome: z.string().meta({ description: "`accepted`, or the code of the refusal." }),
    address: z.string(),
    gatewayId: nameSchema,
    nexus: z.string(),
    slot: z.int(),
    epoch: numberSchema.nullable(),
  })
  .meta({ ref: "Opening" });
const refusalSchema = z
  .object({
    minute: timeSchema,
    address: z.string(),
    code: z.string(),
    count: numberSchema,
    verified: z.boolean().meta({ description: "Whether it was proved to come from this agent." }),
  })
  .meta({ ref: "Refusal" });

/** Authentication attempts of an agent. */
export function openingRoutes(deps: SliceDeps) {
  const tag = "Monitoring";
  return newRouter()
    .get(
      "/agents/:id/openings",
      operation({
        tag,
        summary: "Authentication attempts of an agent",
        scope: "agents:read",
        answers: { 200: pageOf(openingSchema) },
        faults: ["not_found"],
      }),
      idParam("id"),
      query(pageQuery),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        const { limit, after } = context.req.valid("query");
        const rows = await openingsOf(deps.db, agent.id, after, limit + 1);
        return context.json(
          toPage(
            rows,
            limit,
            ({ id }) => id,
            ({ agentId: _, ...row }) => row,
          ),
        );
      },
    )
    .get(
      "/agents/:id/refusals",
      operation({
        tag,
        summary: "Refused attempts of an agent, counted per minute",
        description: "Those before authentication merely claim to be this agent.",
        scope: "agents:read",
        answers: { 200: z.object({ items: z.array(refusalSchema) }) },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        const now = deps.clock.now() + 1;
        const claimed = agent.identifier === null ? [] : await refusalsOf(deps.db, agent.identifier, now, 100);
        const rows = [...(await refusalsOf(deps.db, agent.id, now, 100)), ...claimed];
        const items = rows.sort((a, b) => b.minute - a.minute).map(({ subject: _, ...row }) => row);
        return context.json({ items });
      },
    );
}
