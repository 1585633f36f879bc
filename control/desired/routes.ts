import { z } from "zod";
import { connectorTypes, desiredPluginSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import { findAgent } from "../agents/index.ts";
import {
  body,
  etag,
  idParam,
  ifMatch,
  newRouter,
  operation,
  pageOf,
  principalOf,
  query,
  toPage,
} from "../api/index.ts";
import type { DesiredReportItem, PluginRow } from "./repo.ts";
import { newestState, pluginsOf, reportOf, versionsOf } from "./repo.ts";
import { connectorOf, wantedPluginSchema } from "./rules.ts";
import { type DesiredDeps, deletePlugin, findPlugin, putWanted, rollBack } from "./service.ts";

const config = z.record(z.string(), z.unknown());
const actualSchema = z.object({
  version: numberSchema.meta({ description: "What runs; 0 = nothing." }),
  wanted: numberSchema,
  state: z.enum(["applied", "failed", "removed", "disabled"]),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  reportedAt: timeSchema,
});

const pluginSchema = z
  .object({
    agentId: nameSchema,
    name: nameSchema,
    version: numberSchema,
    type: nameSchema,
    enabled: z.boolean(),
    config: config.meta({ description: "Every secret masked: they are write-only." }),
    lane: desiredPluginSchema.shape.lane,
    receiveSchema: z.unknown(),
    once: z
      .enum(["exactly-once", "at-least-once"])
      .meta({ description: "What this configuration promises of a repeat." }),
    updatedAt: timeSchema,
    updatedBy: z.string(),
    actual: actualSchema.nullable().meta({ description: "What the node says; null = it has not yet." }),
    inSync: z.boolean(),
  })
  .meta({ ref: "Plugin" });

const versionSchema = z
  .object({
    version: numberSchema,
    type: nameSchema,
    enabled: z.boolean(),
    config,
    lane: desiredPluginSchema.shape.lane,
    receiveSchema: z.unknown(),
    restores: numberSchema.nullable(),
    deleted: z.boolean(),
    createdAt: timeSchema,
    createdBy: z.string(),
  })
  .meta({ ref: "PluginVersion" });

const stateSchema = z
  .object({
    number: numberSchema.meta({ description: "Of the newest desired state; 0 = none." }),
    versions: z.record(z.string(), numberSchema),
    sealed: z.boolean().meta({ description: "False before the agent has an identity to seal it to." }),
    createdAt: timeSchema.nullable(),
    publishedAt: timeSchema.nullable(),
    report: z
      .object({
        number: numberSchema,
        skipped: numberSchema.nullable().meta({ description: "States that were passed over for a newer one." }),
        at: timeSchema,
        items: z.array(z.unknown()),
      })
      .nullable(),
  })
  .meta({ ref: "DesiredState" });

const connectorSchema = z
  .object({ type: z.string(), title: z.string(), schema: config })
  .meta({ ref: "ConnectorType" });

/** `/agents/{agent}/plugins`, `/agents/{agent}/desired`, `/connector-types`. */
export function desiredRoutes(deps: DesiredDeps) {
  const tag = "Plugins";
  const read = { tag, scope: "plugins:read" } as const;
  const write = { tag, scope: "plugins:write" } as const;

  async function itemsOf(agentId: string): Promise<ReadonlyMap<string, DesiredReportItem & { reportedAt: number }>> {
    const report = await reportOf(deps.db, agentId);
    const plugins = (report?.items ?? []).filter(({ kind }) => kind === "plugin");
    return new Map(plugins.map((item) => [item.name, { ...item, reportedAt: report?.at ?? 0 }]));
  }

  const show = async (row: PluginRow) => showPlugin(row, (await itemsOf(row.agentId)).get(row.name));

  return newRouter()
    .get(
      "/connector-types",
      operation({
        ...read,
        summary: "List connector types",
        answers: { 200: z.object({ items: z.array(connectorSchema) }) },
      }),
      (context) => context.json({ items: connectorList() }),
    )
    .get(
      "/agents/:agent/plugins",
      operation({
        ...read,
        summary: "List the plugins of an agent",
        answers: { 200: z.object({ items: z.array(pluginSchema) }) },
        faults: ["not_found"],
      }),
      idParam("agent"),
      async (context) => {
        const { agent } = context.req.valid("param");
        await findAgent(deps, principalOf(context), agent);
        const items = await itemsOf(agent);
        const rows = await pluginsOf(deps.db, agent);
        return context.json({ items: rows.map((row) => showPlugin(row, items.get(row.name))) });
      },
    )
    .get(
      "/agents/:agent/plugins/:plugin",
      operation({
        ...read,
        summary: "Get a plugin: wanted and actual",
        answers: { 200: pluginSchema },
        faults: ["not_found"],
      }),
      idParam("agent", "plugin"),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const row = await findPlugin(deps, principalOf(context), agent, plugin);
        context.header("etag", `"${row.version}"`);
        return context.json(await show(row));
      },
    )
    .put(
      "/agents/:agent/plugins/:plugin",
      operation({
        ...write,
        summary: "Configure a plugin",
        description:
          "Replaces the whole configuration. Secrets are write-only: send the mask of an answer back to keep the one that is stored. `If-Match` guards against overwriting somebody's change.",
        answers: { 200: pluginSchema },
        faults: ["not_found", "invalid", "conflict", "revoked", "too_large"],
      }),
      idParam("agent", "plugin"),
      body(wantedPluginSchema),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const at = { agentId: agent, name: plugin, version: ifMatch(context) };
        const row = await putWanted(deps, principalOf(context), at, context.req.valid("json"));
        context.header("etag", `"${row.version}"`);
        return context.json(await show(row));
      },
    )
    .delete(
      "/agents/:agent/plugins/:plugin",
      operation({
        ...write,
        summary: "Delete a plugin",
        description:
          "The node stops it. What waits in its lane is delivered when a plugin of this name is there again.",
        answers: { 204: null },
        faults: ["not_found", "conflict", "revoked"],
      }),
      idParam("agent", "plugin"),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        await deletePlugin(deps, principalOf(context), { agentId: agent, name: plugin, version: ifMatch(context) });
        return context.body(null, 204);
      },
    )
    .get(
      "/agents/:agent/plugins/:plugin/versions",
      operation({
        ...read,
        summary: "List the versions of a plugin",
        answers: { 200: pageOf(versionSchema) },
        faults: ["not_found"],
      }),
      idParam("agent", "plugin"),
      query(
        z.object({
          limit: z.coerce.number().int().min(1).max(200).default(50),
          after: z.coerce.number().int().optional(),
        }),
      ),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const { limit, after } = context.req.valid("query");
        await findPlugin(deps, principalOf(context), agent, plugin, { deleted: true });
        const rows = await versionsOf(deps.db, agent, plugin, after, limit + 1);
        return context.json(
          toPage(
            rows,
            limit,
            ({ version }) => String(version),
            ({ shown, ...row }) => ({ ...row, config: shown }),
          ),
        );
      },
    )
    .post(
      "/agents/:agent/plugins/:plugin/rollback",
      operation({
        ...write,
        summary: "Bring an earlier version back",
        description: "Under a higher number, secrets of that version included.",
        answers: { 200: pluginSchema },
        faults: ["not_found", "invalid", "conflict", "revoked"],
      }),
      idParam("agent", "plugin"),
      body(z.strictObject({ version: numberSchema.min(1) })),
      async (context) => {
        const { agent, plugin } = context.req.valid("param");
        const at = { agentId: agent, name: plugin, version: ifMatch(context) };
        await findPlugin(deps, principalOf(context), agent, plugin, { deleted: true });
        const row = await rollBack(deps, principalOf(context), at, context.req.valid("json").version);
        context.header("etag", `"${row.version}"`);
        return context.json(await show(row));
      },
    )
    .get(
      "/agents/:agent/desired",
      operation({
        ...read,
        summary: "Get the desired state of an agent and what it says of it",
        answers: { 200: stateSchema },
        faults: ["not_found"],
      }),
      idParam("agent"),
      async (context) => {
        const { agent } = context.req.valid("param");
        await findAgent(deps, principalOf(context), agent);
        const state = await newestState(deps.db, agent);
        const report = await reportOf(deps.db, agent);
        const shown = {
          number: state?.number ?? 0,
          versions: state?.versions ?? {},
          sealed: state?.statement != null,
          createdAt: state?.createdAt ?? null,
          publishedAt: state?.publishedAt ?? null,
          report:
            report === undefined
              ? null
              : { number: report.number, skipped: report.skipped, at: report.at, items: report.items },
        };
        return etag(context, `${shown.number}.${report?.at ?? 0}`) ?? context.json(shown);
      },
    );
}

function showPlugin(row: PluginRow, item: (DesiredReportItem & { reportedAt: number }) | undefined) {
  const { customerId: _customer, deletedAt: _deleted, shown, receiveSchema = null, ...plugin } = row;
  const actual =
    item === undefined
      ? null
      : {
          version: item.actual,
          wanted: item.wanted,
          state: item.state,
          code: item.code ?? null,
          reason: item.reason ?? null,
          reportedAt: item.reportedAt,
        };
  const inSync =
    actual !== null && actual.wanted === row.version && (actual.state === "applied" || actual.state === "disabled");
  return { ...plugin, config: shown, receiveSchema, once: connectorOf(row.type).once(shown), actual, inSync };
}

/** Connector types with the JSON Schema that forms are made of. */
function connectorList() {
  return Object.entries(connectorTypes).map(([type, { title, schema }]) => ({
    type,
    title,
    schema: z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Record<string, unknown>, // a JSON Schema is an object
  }));
}
