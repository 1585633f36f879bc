import { z } from "zod";
import {
  nameSchema,
  numberSchema,
  outletAnswerSchema,
  outletRequestSchema,
  portalListenSchema,
  portalModes,
  portalProtocols,
  portalTargetSchema,
  relayAnswerSchema,
  relayRequestSchema,
  secretMask,
  timeSchema,
} from "#lib/session";
import { customerToList } from "../access/principal.ts";
import {
  body,
  idParam,
  ifMatch,
  newRouter,
  once,
  operation,
  pageOf,
  pageQuery,
  principalOf,
  query,
  type SliceDeps,
  toPage,
} from "../api/index.ts";
import type { Db } from "../db/index.ts";
import { reportOf } from "../desired/index.ts";
import { newNexusRouter } from "../gateways/index.ts";
import { demandSession, type SessionDeps } from "../openings/index.ts";
import { listPortals, nodesOf } from "./repo.ts";
import { wantedPortalSchema } from "./rules.ts";
import {
  changePortal,
  createPortal,
  deletePortal,
  findPortal,
  outletOf,
  type Portal,
  type PortalDeps,
  relayTo,
} from "./service.ts";
import { portalEnds, type StoredHttp } from "./tables.ts";

const nodeSchema = z.object({
  agentId: nameSchema,
  end: z.enum(portalEnds),
  inSync: z.boolean().meta({ description: "Whether what runs there is this version." }),
  actual: z
    .object({
      version: numberSchema.meta({ description: "What runs; 0 = nothing." }),
      wanted: numberSchema,
      state: z.enum(["applied", "failed", "removed", "disabled"]),
      code: z.string().nullable(),
      reason: z.string().nullable(),
      reportedAt: timeSchema,
    })
    .nullable()
    .meta({ description: "What the node says; null = it has not yet." }),
});

const portalSchema = z
  .object({
    id: nameSchema,
    customerId: nameSchema,
    name: nameSchema,
    version: numberSchema,
    enabled: z.boolean(),
    mode: z.enum(portalModes),
    protocol: z.enum(portalProtocols),
    inlet: z.object({ agentId: nameSchema, listen: portalListenSchema, pins: z.array(z.string()).nullable() }),
    outlet: z.object({
      agentIds: z.array(nameSchema),
      target: portalTargetSchema,
      connectTimeoutMs: z.int(),
      pins: z.array(z.string()).nullable(),
      tls: z.object({ pins: z.array(z.string()), serverName: z.string().optional() }).optional(),
    }),
    connectionsMax: z.int(),
    policyId: nameSchema.nullable(),
    http: z
      .object({
        hosts: z.array(z.string()),
        headers: z.record(z.string(), z.string()).meta({ description: "Every value masked: they are write-only." }),
        tls: z.boolean(),
        answerTimeoutMs: z.int(),
      })
      .optional(),
    proxyProtocol: z.boolean(),
    createdAt: timeSchema,
    createdBy: z.string(),
    updatedAt: timeSchema,
    updatedBy: z.string(),
    nodes: z.array(nodeSchema),
  })
  .meta({ ref: "Portal" });

const newPortalSchema = wantedPortalSchema.extend({ customerId: nameSchema });

/** `/portals`. */
export function portalRoutes(deps: SliceDeps & PortalDeps) {
  const tag = "Portals";
  const read = { tag, scope: "portals:read" } as const;
  const write = { tag, scope: "portals:write" } as const;
  return newRouter()
    .post(
      "/portals",
      operation({
        ...write,
        summary: "Create a portal",
        description:
          "Joins an inlet, which listens at one node, to a service that other nodes reach. The nodes learn it with their next desired state.",
        once: true,
        answers: { 201: portalSchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      body(newPortalSchema),
      async (context) => {
        const made = await once<z.infer<typeof portalSchema>>(deps, context, (keep) =>
          createPortal(deps, principalOf(context), context.req.valid("json"), async (portal) =>
            keep(await show(deps.db, portal)),
          ),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/portals",
      operation({ ...read, summary: "List portals", answers: { 200: pageOf(portalSchema) } }),
      query(pageQuery.extend({ customerId: nameSchema.optional(), mode: z.enum(portalModes).optional() })),
      async (context) => {
        const { limit, after, customerId, mode } = context.req.valid("query");
        const only = { customerId: customerToList(principalOf(context), customerId), mode };
        const rows = await listPortals(deps.db, only, after, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ id }) => id,
          (row) => row,
        );
        const nodes = await nodesOf(
          deps.db,
          page.items.map(({ id }) => id),
        );
        const items = await Promise.all(
          page.items.map((row) => show(deps.db, { row, nodes: nodes.filter(({ portalId }) => portalId === row.id) })),
        );
        return context.json({ ...page, items });
      },
    )
    .get(
      "/portals/:id",
      operation({
        ...read,
        summary: "Get a portal: wanted and actual",
        answers: { 200: portalSchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const portal = await findPortal(deps, principalOf(context), context.req.valid("param").id);
        context.header("etag", `"${portal.row.version}"`);
        return context.json(await show(deps.db, portal));
      },
    )
    .put(
      "/portals/:id",
      operation({
        ...write,
        summary: "Change a portal",
        description: "Replaces the whole definition. `If-Match` guards against overwriting somebody's change.",
        answers: { 200: portalSchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(wantedPortalSchema),
      async (context) => {
        const at = { id: context.req.valid("param").id, version: ifMatch(context) };
        const portal = await changePortal(deps, principalOf(context), at, context.req.valid("json"));
        context.header("etag", `"${portal.row.version}"`);
        return context.json(await show(deps.db, portal));
      },
    )
    .delete(
      "/portals/:id",
      operation({ ...write, summary: "Delete a portal", answers: { 204: null }, faults: ["not_found", "conflict"] }),
      idParam("id"),
      async (context) => {
        const at = { id: context.req.valid("param").id, version: ifMatch(context) };
        await deletePortal(deps, principalOf(context), at);
        return context.body(null, 204);
      },
    );
}

/** `POST /nexus/v1/relay` and `/nexus/v1/outlet`. */
export function portalNexusRoutes(deps: SessionDeps) {
  return newNexusRouter()
    .post("/relay", body(relayRequestSchema), async (context) => {
      const { to, ...session } = context.req.valid("json");
      const { agent } = await demandSession(deps, context.get("gateway"), session);
      return context.json(relayAnswerSchema.parse(await relayTo(deps.db, agent, to)));
    })
    .post("/outlet", body(outletRequestSchema), async (context) => {
      const { portal, ...session } = context.req.valid("json");
      const { agent } = await demandSession(deps, context.get("gateway"), session);
      return context.json(outletAnswerSchema.parse(await outletOf(deps.db, agent, portal)));
    });
}

async function show(db: Db, { row, nodes }: Portal): Promise<z.infer<typeof portalSchema>> {
  const { listen, target, connectTimeoutMs, deletedAt: _deleted, headers: _sealed, http, tls, ...rest } = row;
  const { inletPins, outletPins, ...shown } = rest;
  const at = (end: (typeof portalEnds)[number]) =>
    nodes.filter((node) => node.end === end).map(({ agentId }) => agentId);
  const shownNodes = nodes.map(async ({ agentId, end }) => {
    const report = await reportOf(db, agentId);
    const item = report?.items.find(({ kind, name }) => kind === "portal" && name === row.name);
    const actual =
      item === undefined || report === undefined
        ? null
        : {
            version: item.actual,
            wanted: item.wanted,
            state: item.state,
            code: item.code ?? null,
            reason: item.reason ?? null,
            reportedAt: report.at,
          };
    const inSync =
      actual !== null && actual.wanted === row.version && (actual.state === "applied" || actual.state === "disabled");
    return { agentId, end, inSync, actual };
  });
  return {
    ...shown,
    ...(http === null ? {} : { http: shownHttp(http) }),
    inlet: { agentId: at("inlet")[0] ?? "", listen, pins: inletPins },
    outlet: {
      agentIds: at("outlet"),
      target,
      connectTimeoutMs,
      pins: outletPins,
      ...(tls === null ? {} : { tls }),
    },
    nodes: await Promise.all(shownNodes),
  };
}

function shownHttp({ hosts, headerNames, tls, answerTimeoutMs }: StoredHttp) {
  return {
    hosts: [...hosts],
    headers: Object.fromEntries(headerNames.map((name) => [name, secretMask])),
    tls,
    answerTimeoutMs,
  };
}
