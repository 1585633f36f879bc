import { z } from "zod";
import { base64url } from "#lib/bytes";
import { identifierSchema, nameSchema, startAnswerSchema, startRequestSchema, timeSchema } from "#lib/session";
import { actorOf } from "../access/principal.ts";
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
import type { Authority, Revocations } from "../authority/index.ts";
import { findCustomer } from "../customers/index.ts";
import { newNexusRouter } from "./authenticate.ts";
import { type GatewayRow, listGateways, replicasOf } from "./repo.ts";
import { originSchema } from "./rules.ts";
import {
  changeGateway,
  createGateway,
  findGateway,
  type GatewayDeps,
  renewGatewayKey,
  revokeGateway,
  startReplica,
} from "./service.ts";

const origins = z.array(originSchema).min(1).max(16);
const gatewaySchema = z
  .object({
    id: nameSchema,
    name: z.string(),
    origins: z.array(z.string()),
    customerId: nameSchema.nullable(),
    createdAt: timeSchema,
    revokedAt: timeSchema.nullable(),
  })
  .meta({ ref: "Gateway" });
const replicaSchema = z
  .object({
    identifier: identifierSchema,
    hostname: z.string(),
    version: z.string(),
    startedAt: timeSchema,
    seenAt: timeSchema,
    revokedAt: timeSchema.nullable(),
  })
  .meta({ ref: "NexusReplica" });
const newGatewaySchema = z.strictObject({
  name: z.string().min(1).max(200),
  origins,
  customerId: nameSchema.nullable().default(null).meta({ description: "Dedicates the gateway to one customer." }),
});
const key = z.string().meta({ description: "The gateway key, shown this once." });
const madeGatewaySchema = z.object({ gateway: gatewaySchema, key });
const renewedKeySchema = z.object({ key });

/** `/gateways`. */
export function gatewayRoutes(deps: SliceDeps & GatewayDeps) {
  const tag = "Gateways";
  const show = ({ keyHash: _, ...row }: GatewayRow): z.infer<typeof gatewaySchema> => row;
  return newRouter()
    .post(
      "/gateways",
      operation({
        tag,
        summary: "Create a gateway",
        once: true,
        scope: "gateways:write",
        answers: { 201: madeGatewaySchema },
        faults: ["invalid"],
      }),
      body(newGatewaySchema),
      async (context) => {
        const wanted = context.req.valid("json");
        const by = principalOf(context);
        if (wanted.customerId !== null) await findCustomer(deps, by, wanted.customerId);
        const made = await once<z.infer<typeof madeGatewaySchema>>(deps, context, (keep) =>
          createGateway(deps, actorOf(by), wanted, (made) => keep({ gateway: show(made.gateway), key: made.key })),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/gateways",
      operation({ tag, summary: "List gateways", scope: "gateways:read", answers: { 200: pageOf(gatewaySchema) } }),
      query(pageQuery),
      async (context) => {
        const { limit, after } = context.req.valid("query");
        return context.json(toPage(await listGateways(deps.db, after, limit + 1), limit, ({ id }) => id, show));
      },
    )
    .get(
      "/gateways/:id",
      operation({
        tag,
        summary: "Get a gateway",
        scope: "gateways:read",
        answers: { 200: gatewaySchema.extend({ replicas: z.array(replicaSchema) }) },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const row = await findGateway(deps, context.req.valid("param").id);
        const replicas = await replicasOf(deps.db, row.id);
        const shown = replicas.map(({ gatewayId: _gateway, expiresAt: _expires, ...replica }) => replica);
        return context.json({ ...show(row), replicas: shown });
      },
    )
    .patch(
      "/gateways/:id",
      operation({
        tag,
        summary: "Change a gateway",
        scope: "gateways:write",
        answers: { 200: gatewaySchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(z.strictObject({ name: z.string().min(1).max(200).optional(), origins: origins.optional() })),
      async (context) => {
        const { id } = context.req.valid("param");
        return context.json(show(await changeGateway(deps, principalOf(context), id, context.req.valid("json"))));
      },
    )
    .post(
      "/gateways/:id/renew-key",
      operation({
        tag,
        summary: "Replace the gateway key",
        once: true,
        scope: "gateways:write",
        answers: { 200: renewedKeySchema },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        const { id } = context.req.valid("param");
        const made = await once<z.infer<typeof renewedKeySchema>>(deps, context, (keep) =>
          renewGatewayKey(deps, principalOf(context), id, (key) => keep({ key })),
        );
        return context.json(made);
      },
    )
    .post(
      "/gateways/:id/revoke",
      operation({
        tag,
        summary: "Revoke a gateway",
        description: "Its key and the identities of its replicas count for nothing from now on.",
        scope: "gateways:write",
        answers: { 204: null },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      async (context) => {
        await revokeGateway(deps, principalOf(context), context.req.valid("param").id);
        return context.body(null, 204);
      },
    );
}

/** `POST /nexus/v1/start`. */
export function gatewayNexusRoutes(
  deps: GatewayDeps & { readonly authority: Authority; readonly revocations: Pick<Revocations, "revoke" | "current"> },
) {
  return newNexusRouter().post("/start", body(startRequestSchema), async (context) => {
    const gateway = context.get("gateway");
    const credential = await startReplica(deps, gateway, context.req.valid("json"));
    return context.json(
      startAnswerSchema.parse({
        gatewayId: gateway.id,
        customerId: gateway.customerId,
        origins: gateway.origins,
        credential,
        authority: base64url(deps.authority.identity.chain),
        revocations: (await deps.revocations.current()).statement,
      }),
    );
  });
}
