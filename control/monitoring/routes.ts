import { z } from "zod";
import {
  digestAnswerSchema,
  digestSchema,
  nameSchema,
  numberSchema,
  pluginHealthSchema,
  timeSchema,
} from "#lib/session";
import { customerToList } from "../access/principal.ts";
import { findAgent, firstEnrolledAt } from "../agents/index.ts";
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
import { type DemandReplica, newNexusRouter } from "../gateways/index.ts";
import { isWarning } from "./agent-events.ts";
import {
  countAgents,
  type EventPlace,
  eventsOf,
  listPresence,
  type PresenceRow,
  presenceOf,
  sessionsOf,
} from "./repo.ts";
import { availability } from "./rules.ts";
import { type MonitoringDeps, takeDigest } from "./service.ts";

/** `POST /nexus/v1/digest`. */
export function monitoringNexusRoutes(deps: MonitoringDeps & { readonly demandReplica: DemandReplica }) {
  return newNexusRouter().post("/digest", body(digestSchema), async (context) => {
    const answer = await takeDigest(deps, context.get("gateway"), context.req.valid("json"));
    return answer.end.length === 0 ? context.body(null, 204) : context.json(digestAnswerSchema.parse(answer));
  });
}

const presenceSchema = z.object({
  online: z.boolean(),
  since: timeSchema.nullable().meta({ description: "Since when it is on- or offline; null = never was online." }),
  lastSeenAt: timeSchema.nullable(),
  address: z.string().nullable(),
  version: z.string().nullable(),
  platform: z.string().nullable(),
  hostname: z.string().nullable(),
  healthAt: timeSchema.nullable(),
  desired: numberSchema.nullable().meta({ description: "Number of the desired state that runs there." }),
  plugins: z.array(pluginHealthSchema),
});
const sessionSchema = z.object({
  slot: z.int(),
  epoch: numberSchema,
  nexus: z.string(),
  address: z.string(),
  since: timeSchema,
  rttMs: z.object({ last: z.number(), p50: z.number(), p99: z.number() }).nullable(),
  bytesUp: numberSchema,
  bytesDown: numberSchema,
});
const statusSchema = presenceSchema
  .extend({
    agentId: nameSchema,
    availability: z.number().nullable().meta({
      description:
        "Share of the time since the first enrollment, 0 … 1, in which the probe along the data's path succeeded: through Nexus and the session to the node, and from there to the system of every plugin.",
    }),
    sessions: z.array(sessionSchema),
  })
  .meta({ ref: "AgentStatus" });
const listedSchema = presenceSchema
  .extend({ agentId: nameSchema, customerId: nameSchema, name: z.string() })
  .meta({ ref: "AgentPresence" });
const eventSchema = z
  .object({
    id: z.string(),
    at: timeSchema,
    kind: z.string(),
    warning: z.boolean(),
    detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  })
  .meta({ ref: "AgentEvent" });
const countsSchema = z
  .object({
    pending: numberSchema,
    online: numberSchema,
    offline: numberSchema,
    held: numberSchema,
    revoked: numberSchema,
  })
  .meta({ ref: "AgentCounts" });

/** What is known of agents now, and what changed when. */
export function monitoringRoutes(deps: SliceDeps) {
  const tag = "Monitoring";
  return newRouter()
    .get(
      "/agents/:id/status",
      operation({
        tag,
        summary: "Status of an agent",
        scope: "monitoring:read",
        answers: { 200: statusSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        const presence = await presenceOf(deps.db, agent.id);
        const enrolledAt = await firstEnrolledAt(deps.db, agent.id);
        const share = presence === undefined ? null : availability(presence, enrolledAt, deps.clock.now());
        const sessions = (await sessionsOf(deps.db, agent.id)).map((row) => ({
          slot: row.slot,
          epoch: row.epoch,
          nexus: row.nexus,
          address: row.address,
          since: row.since,
          rttMs:
            row.rttLastMs === null
              ? null
              : { last: row.rttLastMs, p50: row.rttP50Ms ?? row.rttLastMs, p99: row.rttP99Ms ?? row.rttLastMs },
          bytesUp: row.bytesUp,
          bytesDown: row.bytesDown,
        }));
        return context.json({ agentId: agent.id, ...show(presence), availability: share, sessions });
      },
    )
    .get(
      "/agents/:id/events",
      operation({
        tag,
        summary: "What changed about an agent",
        scope: "monitoring:read",
        answers: { 200: pageOf(eventSchema) },
        faults: ["not_found"],
      }),
      idParam("id"),
      query(pageQuery),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        const { limit, after } = context.req.valid("query");
        const rows = await eventsOf(deps.db, agent.id, placeOf(after), limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ at, id }) => `${at}/${id}`,
          ({ agentId: _, ...row }) => ({ ...row, warning: isWarning(row.kind) }),
        );
        return context.json(page);
      },
    )
    .get(
      "/status",
      operation({
        tag,
        summary: "Agents with their presence",
        scope: "monitoring:read",
        answers: { 200: pageOf(listedSchema) },
      }),
      query(pageQuery.extend({ customerId: nameSchema.optional(), online: z.enum(["true", "false"]).optional() })),
      async (context) => {
        const { limit, after, customerId: asked, online } = context.req.valid("query");
        const customerId = customerToList(principalOf(context), asked);
        const filter = { customerId, after, online: online === undefined ? undefined : online === "true" };
        const rows = await listPresence(deps.db, filter, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ agent }) => agent.id,
          ({ agent, presence }) => ({
            agentId: agent.id,
            customerId: agent.customerId,
            name: agent.name,
            ...show(presence ?? undefined),
          }),
        );
        return context.json(page);
      },
    )
    .get(
      "/status/counts",
      operation({
        tag,
        summary: "How many agents are in which state",
        scope: "monitoring:read",
        answers: { 200: countsSchema },
      }),
      query(z.object({ customerId: nameSchema.optional() })),
      async (context) => {
        const customerId = customerToList(principalOf(context), context.req.valid("query").customerId);
        return context.json(await countAgents(deps.db, customerId));
      },
    );
}

/** The event that a page ended with: `time/id`. */
function placeOf(after: string | undefined): EventPlace | undefined {
  const [, at, id] = /^(\d{1,15})\/(.*)$/.exec(after ?? "") ?? [];
  return at === undefined || id === undefined ? undefined : { at: Number(at), id };
}

function show(row: PresenceRow | undefined): z.infer<typeof presenceSchema> {
  return {
    online: row?.online ?? false,
    since: row?.since ?? null,
    lastSeenAt: row?.lastSeenAt ?? null,
    address: row?.address ?? null,
    version: row?.version ?? null,
    platform: row?.platform ?? null,
    hostname: row?.hostname ?? null,
    healthAt: row?.healthAt ?? null,
    desired: row?.desired ?? null,
    plugins: row?.plugins ?? [],
  };
}
