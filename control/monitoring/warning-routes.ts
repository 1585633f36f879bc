import { z } from "zod";
import { Fault } from "#lib/fault";
import { nameSchema, timeSchema } from "#lib/session";
import type { Principal } from "../access/principal.ts";
import { newRouter, operation, pageOf, pageQuery, principalOf, query, type SliceDeps, toPage } from "../api/index.ts";
import { listPlatformWarnings } from "./platform-warnings.ts";

const warningSchema = z
  .object({
    id: nameSchema,
    kind: z.enum(["broker-filling"]),
    subject: z.string().meta({ description: "What it is about: the name of a stream." }),
    at: timeSchema,
    detail: z.record(z.string(), z.union([z.string(), z.number()])),
    clearedAt: timeSchema.nullable(),
  })
  .meta({ ref: "PlatformWarning" });

/** `/warnings`: about the platform itself. */
export function warningRoutes(deps: Pick<SliceDeps, "db">) {
  const tag = "Monitoring";
  return newRouter().get(
    "/warnings",
    operation({
      tag,
      summary: "Warnings about the platform itself, newest first",
      description:
        "`broker-filling`: a stream of the broker holds 70 % or more of what it may, and refuses what comes once it is full; cleared at 60 %. Only for keys of the platform. Warnings about an agent are among its events.",
      scope: "monitoring:read",
      answers: { 200: pageOf(warningSchema) },
    }),
    query(
      pageQuery.extend({
        open: z.stringbool().optional().meta({ description: "Only those that still stand, or only the others." }),
      }),
    ),
    async (context) => {
      demandPlatform(principalOf(context));
      const { limit, after, open } = context.req.valid("query");
      const rows = await listPlatformWarnings(deps.db, { open, before: after }, limit + 1);
      return context.json(
        toPage(
          rows,
          limit,
          ({ id }) => id,
          ({ detail, ...row }) => ({ ...row, detail: { ...detail } }),
        ),
      );
    },
  );
}

/** Only the platform's own keys see it: the broker is nobody's alone. */
function demandPlatform(by: Principal): void {
  if (by.customerId !== null) throw new Fault("forbidden", "only for keys of the platform");
}
