import { z } from "zod";
import { desiredPluginSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import { findAgent } from "../agents/index.ts";
import { body, idParam, ifMatch, newRouter, operation, pageOf, principalOf, query, toPage } from "../api/index.ts";
import type { DesiredReportItem, PluginRow } from "./repo.ts";
import { pluginsOf, reportOf, versionsOf } from "./repo.ts";
import { sealingSchema, wantedPluginSchema } from "./rules.ts";
import { type DesiredDeps, deletePlugin, findPlugin, putWanted, rollBack } from "./service.ts";
import { pluginSchema, shownConfigSchema, shownSealing, showPlugin } from "./shown-plugin.ts";

const versionSchema = z
  .object({
    version: numberSchema,
    type: nameSchema,
    enabled: z.boolean(),
    config: shownConfigSchema,
    lane: desiredPluginSchema.shape.lane,
    receiveSchema: z.unknown(),
    sealed: z.boolean(),
    sealing: sealingSchema.nullable(),
    restores: numberSchema.nullable(),
    deleted: z.boolean(),
    createdAt: timeSchema,
    createdBy: z.string(),
  })
  .meta({ ref: "PluginVersion" });

/** `/agents/{agent}/plugins`. */
export function pluginRoutes(deps: DesiredDeps) {
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
            ({ shown, sealing, ...row }) => ({ ...row, ...shownSealing(sealing), config: shown }),
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
    );
}
