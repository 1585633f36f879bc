/** HTTP between a Nexus and Solaris, under `/nexus/v1`, JSON, `Authorization: Bearer <gateway key>`. Bytes are base64url. */

import { z } from "zod";
import { authorizationHeaderBytesMax, enrollmentBodyBytesMax, identityChainBytesMax } from "#lib/limits";
import { pluginHealthSchema, upWatermarkSchema } from "./control-stream.ts";
import { desiredPolicySchema } from "./desired.ts";
import { codeSchema, identifierSchema, nameSchema, numberSchema, statementSchema, timeSchema } from "./fields.ts";
import { portalProtocols, portalTargetSchema } from "./portals.ts";

const base64url = (bytesMax: number) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]*$/)
    .max(Math.ceil((bytesMax * 4) / 3) + 4);
const chain = base64url(identityChainBytesMax);
const slot = z.union([z.literal(0), z.literal(1)]);

/** `POST /nexus/v1/start`: a replica's new identity for a credential of role `nexus`; also to renew it. */
export const startRequestSchema = z.strictObject({ version: z.string().max(64), chain, hostname: z.string().max(255) });
export const startAnswerSchema = z.strictObject({
  gatewayId: nameSchema,
  /** A dedicated gateway serves this customer alone. */
  customerId: nameSchema.nullable(),
  origins: z.array(z.string().max(255)).max(16),
  credential: statementSchema,
  authority: chain,
  revocations: statementSchema,
});

/** `POST /nexus/v1/authorize`: one header of one opening (PROTOCOL §5). */
export const authorizeRequestSchema = z.strictObject({
  authorization: z.string().max(authorizationHeaderBytesMax),
  origin: z.string().max(255),
  address: z.string().max(64),
  nexus: identifierSchema,
});
export const authorizeAnswerSchema = z.discriminatedUnion("decision", [
  z.strictObject({
    decision: z.literal("accept"),
    agentId: nameSchema,
    customerId: nameSchema,
    identifier: identifierSchema,
    slot,
    epoch: numberSchema,
    continuity: base64url(64),
    serverTime: timeSchema,
    lanes: z.array(upWatermarkSchema).max(65),
    desired: numberSchema,
    revocations: numberSchema,
  }),
  /** After the MAC held: told to the agent in a `0x04` message. */
  z.strictObject({
    decision: z.literal("refuse"),
    code: codeSchema,
    answer: z.string().max(2_048),
    retryAfterMs: numberSchema.optional(),
  }),
  /** Before the MAC held: a bare 401. `unknown` may be remembered for a minute. */
  z.strictObject({ decision: z.literal("deny"), unknown: z.boolean() }),
]);

/** `POST /nexus/v1/ready`: the agent has fsynced `epoch`. Answer 204, or 409 `displaced`. */
export const readyRequestSchema = z.strictObject({ agentId: nameSchema, slot, epoch: numberSchema });

/** `POST /nexus/v1/refresh`: a credential for the identity of an open session; `chain` registers a rotation. */
export const refreshRequestSchema = z.strictObject({
  agentId: nameSchema,
  slot,
  epoch: numberSchema,
  chain: chain.optional(),
});
export const refreshAnswerSchema = z.strictObject({
  credential: statementSchema,
  authority: chain,
  revocations: statementSchema,
});

/**
 * `POST /nexus/v1/relay`: may the agent of this session have a wire to the node `to`? 404 `not_found` for a node that is not of its
 * customer, or none; 403 `forbidden` where no portal joins the two.
 */
export const relayRequestSchema = z.strictObject({
  agentId: nameSchema,
  slot,
  epoch: numberSchema,
  to: identifierSchema,
});
export const relayAnswerSchema = z.strictObject({ agentId: nameSchema, customerId: nameSchema });

/**
 * `POST /nexus/v1/outlet`: may the agent of this session have a connection that ends in Nexus, and where does it lead? 404 `not_found`
 * for a portal that has no inlet there, or is switched off; 403 `forbidden` for one of another mode, or where the customer requires `e2e`.
 */
export const outletRequestSchema = z.strictObject({
  agentId: nameSchema,
  slot,
  epoch: numberSchema,
  portal: nameSchema,
});
export const outletAnswerSchema = z.strictObject({
  customerId: nameSchema,
  name: nameSchema,
  mode: z.literal("terminated"),
  protocol: z.enum(portalProtocols),
  target: portalTargetSchema,
  connectTimeoutMs: z.int().min(100).max(60_000),
  connectionsMax: z.int().min(1),
  /** Who may open it, where no policy decides. */
  nodes: z.array(identifierSchema).max(1),
  policy: desiredPolicySchema.nullable(),
});

/** `GET /nexus/v1/revocations`. */
export const revocationsAnswerSchema = z.strictObject({
  number: numberSchema,
  statement: statementSchema,
  authority: chain,
});

/** `POST /nexus/v1/enroll`: a sealed request, passed on with the address it came from. */
export const enrollRequestSchema = z.strictObject({
  request: z.string().max(enrollmentBodyBytesMax),
  address: z.string().max(64),
});
/** `POST /enroll` of Nexus, by anyone: answered with `enrollAnswerSchema`, or a problem document (RFC 9457) with `code`. */
export const publicEnrollRequestSchema = enrollRequestSchema.pick({ request: true });
export const enrollAnswerSchema = z.strictObject({ answer: statementSchema });

/** `GET /nexus/v1/authority`, and `GET /enroll` of Nexus: what a token is checked against. */
export const authorityAnswerSchema = z.strictObject({ authority: chain });

const openSession = z.strictObject({
  agentId: nameSchema,
  slot,
  epoch: numberSchema,
  address: z.string().max(64),
  since: timeSchema,
  version: z.string().max(64),
  platform: z.string().max(64),
  hostname: z.string().max(255),
  /** Round trip of the session's ping. */
  rttMs: z.strictObject({ last: z.number(), p50: z.number(), p99: z.number() }).optional(),
  bytesUp: numberSchema,
  bytesDown: numberSchema,
  health: z
    .strictObject({ at: timeSchema, desired: numberSchema, plugins: z.array(pluginHealthSchema).max(64) })
    .optional(),
});

/** `POST /nexus/v1/digest`, once a second: what changed; `full` once a minute: all that is open. Answer: `digestAnswerSchema` or 204. */
export const digestSchema = z.strictObject({
  nexus: identifierSchema,
  full: z.boolean(),
  sessions: z.array(openSession).max(20_000),
  ended: z
    .array(z.strictObject({ agentId: nameSchema, slot, epoch: numberSchema, at: timeSchema, code: codeSchema }))
    .max(20_000),
  /** Refused before the MAC held, counted per address, reason and minute. */
  refusals: z
    .array(
      z.strictObject({
        address: z.string().max(64),
        code: codeSchema,
        sub: z.string().max(80).nullable(),
        minute: timeSchema,
        count: numberSchema,
      }),
    )
    .max(10_000),
});

/**
 * Answer to a digest: 200 with the sessions of this replica that must end now and why (`revoked`, `suspended`,
 * `licence_expired`, …), named again with each digest until they have ended; or 204 = none.
 */
export const digestAnswerSchema = z.strictObject({
  end: z
    .array(z.strictObject({ agentId: nameSchema, code: codeSchema }))
    .max(20_000)
    .default([]),
});

export type StartAnswer = z.infer<typeof startAnswerSchema>;
export type AuthorizeAnswer = z.infer<typeof authorizeAnswerSchema>;
export type RelayAnswer = z.infer<typeof relayAnswerSchema>;
export type OutletAnswer = z.infer<typeof outletAnswerSchema>;
export type RefreshAnswer = z.infer<typeof refreshAnswerSchema>;
export type Digest = z.infer<typeof digestSchema>;
export type DigestAnswer = z.infer<typeof digestAnswerSchema>;
export type OpenSession = z.infer<typeof openSession>;
