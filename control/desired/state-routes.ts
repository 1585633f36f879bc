import { z } from "zod";
import { connectorTypes, numberSchema, timeSchema } from "#lib/session";
import { findAgent } from "../agents/index.ts";
import { etag, idParam, newRouter, operation, principalOf, type SliceDeps } from "../api/index.ts";
import { newestState, reportOf } from "./repo.ts";
import { shownConfigSchema } from "./shown-plugin.ts";

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
  .object({ type: z.string(), title: z.string(), schema: shownConfigSchema })
  .meta({ ref: "ConnectorType" });

/** `/agents/{agent}/desired`, `/connector-types`. */
export function stateRoutes(deps: Pick<SliceDeps, "db">) {
  const read = { tag: "Plugins", scope: "plugins:read" } as const;
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

/** Connector types with the JSON Schema that forms are made of. */
function connectorList() {
  return Object.entries(connectorTypes).map(([type, { title, schema }]) => ({
    type,
    title,
    schema: z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Record<string, unknown>, // a JSON Schema is an object
  }));
}
