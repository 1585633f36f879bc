import { z } from "zod";
import { Fault } from "#lib/fault";
import { nameSchema, timeSchema } from "#lib/session";
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
  type SliceDeps,
  toPage,
} from "../api/index.ts";
import { type ApiKeyRow, keyById, listKeys } from "./repo.ts";
import { scopeSchema } from "./scopes.ts";
import { createKey, endKey } from "./service.ts";

const keySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scopeSchema),
    customerId: z.string().nullable(),
    createdAt: timeSchema,
    createdBy: z.string(),
    expiresAt: timeSchema.nullable(),
    revokedAt: timeSchema.nullable(),
    lastUsedAt: timeSchema.nullable(),
  })
  .meta({ ref: "ApiKey" });

const newKeySchema = z.strictObject({
  name: z.string().min(1).max(200),
  scopes: z.array(scopeSchema).min(1).max(32),
  customerId: nameSchema.nullable().default(null).meta({ description: "Binds the key to one customer." }),
  expiresAt: timeSchema.nullable().default(null),
});

const madeKeySchema = z.object({ id: z.string(), key: z.string().meta({ description: "Shown this once." }) });

/** `/keys`: API keys. */
export function accessRoutes(deps: SliceDeps) {
  const tag = "API keys";
  return newRouter()
    .post(
      "/keys",
      operation({
        tag,
        summary: "Make an API key",
        once: true,
        scope: "keys:write",
        answers: { 201: madeKeySchema },
        faults: ["invalid"],
      }),
      body(newKeySchema),
      async (context) => {
        const made = await once<z.infer<typeof madeKeySchema>>(deps, context, (keep) =>
          createKey(deps, principalOf(context), context.req.valid("json"), { keep }),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/keys",
      operation({ tag, summary: "List API keys", scope: "keys:read", answers: { 200: pageOf(keySchema) } }),
      query(pageQuery),
      async (context) => {
        const { limit, after } = context.req.valid("query");
        return context.json(toPage(await listKeys(deps.db, after, limit + 1), limit, ({ id }) => id, show));
      },
    )
    .get(
      "/keys/:id",
      operation({
        tag,
        summary: "Get an API key",
        scope: "keys:read",
        answers: { 200: keySchema },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await keyById(deps.db, context.req.valid("param").id);
        if (row === undefined) throw new Fault("not_found");
        return context.json(show(row));
      },
    )
    .delete(
      "/keys/:id",
      operation({
        tag,
        summary: "Revoke an API key",
        scope: "keys:write",
        answers: { 204: null },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        await endKey(deps, principalOf(context), context.req.valid("param").id);
        return context.body(null, 204);
      },
    );
}

/** Without the hash: what is not needed is not shown. */
function show({ hash: _, ...row }: ApiKeyRow): z.infer<typeof keySchema> {
  return row;
}
