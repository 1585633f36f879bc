import { z } from "zod";
import { base64url } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { identifierSchema, nameSchema, numberSchema, timeSchema } from "#lib/session";
import { attributesSchema } from "#lib/statement";
import { customerToList } from "../access/principal.ts";
import {
  body,
  etag,
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
import { enteredAttributesSchema } from "../customers/index.ts";
import { type AgentRow, identityById, listAgents, tokensOf } from "./repo.ts";
import { agentState } from "./rules.ts";
import {
  type AgentDeps,
  changeAgent,
  createAgent,
  findAgent,
  type MadeToken,
  reissueToken,
  releaseAgent,
  revokeAgent,
} from "./service.ts";
import { agentRoles, copyPolicies } from "./tables.ts";

const stateSchema = z.enum(["pending", "enrolled", "held", "revoked"]);
const agentSchema = z
  .object({
    id: nameSchema,
    customerId: nameSchema,
    licenceId: nameSchema,
    name: z.string(),
    role: z.enum(agentRoles),
    attributes: attributesSchema,
    copyPolicy: z.enum(copyPolicies),
    state: stateSchema,
    identifier: identifierSchema.nullable(),
    heldAt: timeSchema.nullable(),
    createdAt: timeSchema,
    createdBy: z.string(),
    revokedAt: timeSchema.nullable(),
    revokedReason: z.string().nullable(),
    version: numberSchema,
  })
  .meta({ ref: "Agent" });
const tokenSchema = z
  .object({
    id: nameSchema,
    createdAt: timeSchema,
    createdBy: z.string(),
    expiresAt: timeSchema,
    reissue: z.boolean(),
    cancelledAt: timeSchema.nullable(),
    redeemedAt: timeSchema.nullable(),
    redeemedBy: identifierSchema.nullable(),
    address: z.string().nullable(),
    hostname: z.string().nullable(),
    version: z.string().nullable(),
    platform: z.string().nullable(),
  })
  .meta({ ref: "EnrollmentToken" });
const trustSchema = z.object({
  /** How it came to be trusted. */
  method: z.literal("enrollment-token"),
  tokens: z.array(tokenSchema),
  identity: z
    .object({ enrolledAt: timeSchema, openedAt: timeSchema.nullable(), expiresAt: timeSchema, kid: z.string() })
    .nullable(),
});
const identitySchema = z
  .object({
    identifier: identifierSchema,
    kid: z.string().meta({ description: "Hash of its last change." }),
    chain: z.string(),
  })
  .meta({ ref: "AgentIdentity" });
const madeTokenSchema = z.object({
  tokenId: nameSchema,
  token: z.string().meta({ description: "Shown this once: it enrolls whoever holds it." }),
  expiresAt: timeSchema,
});
const tokenLifeMs = z
  .int()
  .min(60_000)
  .max(30 * 86_400_000)
  .optional()
  .meta({ description: "Default: 24 h." });
const name = z.string().min(1).max(200);

const newAgentSchema = z.strictObject({
  customerId: nameSchema,
  name,
  licenceId: nameSchema.optional().meta({ description: "Default: the customer's only valid licence." }),
  gatewayId: nameSchema.optional().meta({ description: "Default: the customer's dedicated gateway, else the first." }),
  role: z.enum(agentRoles).default("edge"),
  attributes: enteredAttributesSchema.default({}),
  copyPolicy: z.enum(copyPolicies).default("reject").meta({
    description: "When a copied or restored store connects: refuse it, let it replace the other, or hold both.",
  }),
  tokenLifeMs,
});
const agentChangeSchema = z.strictObject({
  name: name.optional(),
  licenceId: nameSchema.optional(),
  attributes: enteredAttributesSchema.optional(),
  copyPolicy: z.enum(copyPolicies).optional(),
});

/** `/agents`. */
export function agentRoutes(deps: SliceDeps & AgentDeps) {
  const tag = "Agents";
  return newRouter()
    .post(
      "/agents",
      operation({
        tag,
        summary: "Create an agent",
        once: true,
        scope: "agents:write",
        answers: { 201: z.object({ agent: agentSchema, ...madeTokenSchema.shape }) },
        faults: ["not_found", "invalid", "conflict"],
      }),
      body(newAgentSchema),
      async (context) => {
        const made = await once<{ agent: ReturnType<typeof show> } & MadeToken>(deps, context, (keep) =>
          createAgent(deps, principalOf(context), context.req.valid("json"), ({ agent, token }) =>
            keep({ agent: show(agent), ...token }),
          ),
        );
        return context.json(made, 201);
      },
    )
    .get(
      "/agents",
      operation({ tag, summary: "List agents", scope: "agents:read", answers: { 200: pageOf(agentSchema) } }),
      query(
        pageQuery.extend({
          customerId: nameSchema.optional(),
          licenceId: nameSchema.optional(),
          state: stateSchema.optional(),
          name: z.string().max(200).optional().meta({ description: "Beginning of the name." }),
        }),
      ),
      async (context) => {
        const { limit, customerId: asked, ...filter } = context.req.valid("query");
        const customerId = customerToList(principalOf(context), asked);
        const rows = await listAgents(deps.db, { ...filter, customerId }, limit + 1);
        return context.json(toPage(rows, limit, ({ id }) => id, show));
      },
    )
    .get(
      "/agents/:id",
      operation({
        tag,
        summary: "Get an agent",
        description: "With how it came to be trusted: tokens, who made them, what redeemed them from where.",
        scope: "agents:read",
        answers: { 200: agentSchema.extend({ trust: trustSchema }) },
        faults: ["not_found"],
      }),
      idParam("id"),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        return context.json({ ...show(agent), trust: await trustOf(deps, agent) });
      },
    )
    .get(
      "/agents/:id/identity",
      operation({
        tag,
        summary: "Get the identity of an agent",
        description:
          "Its chain of changes, base64url: whom a sender of sealed messages seals to, and whose signature a consumer verifies.",
        scope: "agents:read",
        answers: { 200: identitySchema },
        faults: ["not_found", "revoked"],
      }),
      idParam("id"),
      async (context) => {
        const agent = await findAgent(deps, principalOf(context), context.req.valid("param").id);
        const identity = agent.identifier === null ? undefined : await identityById(deps.db, agent.identifier);
        if (identity === undefined) throw new Fault("not_found", "this agent has no identity yet");
        if (agent.revokedAt !== null || identity.revokedAt !== null) throw new Fault("revoked");
        const { identifier, kid, chain } = identity;
        return context.json({ identifier, kid, chain: base64url(chain) });
      },
    )
    .patch(
      "/agents/:id",
      operation({
        tag,
        summary: "Change an agent",
        scope: "agents:write",
        answers: { 200: agentSchema },
        faults: ["not_found", "invalid", "conflict"],
      }),
      idParam("id"),
      body(agentChangeSchema),
      async (context) => {
        const change = { ...context.req.valid("json"), version: ifMatch(context) };
        const agent = await changeAgent(deps, principalOf(context), context.req.valid("param").id, change);
        return etag(context, agent.version) ?? context.json(show(agent));
      },
    )
    .post(
      "/agents/:id/revoke",
      operation({
        tag,
        summary: "Revoke an agent",
        description: "Ends its sessions within seconds and refuses it from now on.",
        scope: "agents:write",
        answers: { 200: agentSchema },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      body(z.strictObject({ reason: z.string().min(1).max(64) })),
      async (context) => {
        const { reason } = context.req.valid("json");
        return context.json(show(await revokeAgent(deps, principalOf(context), context.req.valid("param").id, reason)));
      },
    )
    .post(
      "/agents/:id/reissue",
      operation({
        tag,
        summary: "Make a new enrollment token",
        description: "Redeeming it revokes the agent's former identity; queued messages go to the new one.",
        once: true,
        scope: "agents:write",
        answers: { 201: madeTokenSchema },
        faults: ["not_found", "invalid"],
      }),
      idParam("id"),
      body(z.strictObject({ gatewayId: nameSchema.optional(), tokenLifeMs })),
      async (context) => {
        const { id } = context.req.valid("param");
        const made = await once<MadeToken>(deps, context, (keep) =>
          reissueToken(deps, principalOf(context), id, context.req.valid("json"), keep),
        );
        return context.json(made, 201);
      },
    )
    .post(
      "/agents/:id/release",
      operation({
        tag,
        summary: "Decide about a copied store",
        description: "`known`: the store with the newest value goes on. `next`: whichever connects next does.",
        scope: "agents:write",
        answers: { 200: agentSchema },
        faults: ["not_found", "conflict"],
      }),
      idParam("id"),
      body(z.strictObject({ keep: z.enum(["known", "next"]) })),
      async (context) => {
        const { keep } = context.req.valid("json");
        return context.json(show(await releaseAgent(deps, principalOf(context), context.req.valid("param").id, keep)));
      },
    );
}

const show = (agent: AgentRow) => ({ ...agent, attributes: { ...agent.attributes }, state: agentState(agent) });

async function trustOf(deps: Pick<AgentDeps, "db">, agent: AgentRow) {
  const tokens = await tokensOf(deps.db, agent.id);
  const identity = agent.identifier === null ? undefined : await identityById(deps.db, agent.identifier);
  return {
    method: "enrollment-token" as const,
    tokens: tokens.map(({ secretHash: _secret, agentId: _agent, ...token }) => token),
    identity:
      identity === undefined
        ? null
        : {
            enrolledAt: identity.enrolledAt,
            openedAt: identity.openedAt,
            expiresAt: identity.expiresAt,
            kid: identity.kid,
          },
  };
}
