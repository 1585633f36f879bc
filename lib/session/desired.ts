/** Desired state of a node: all that it should run (PROTOCOL §9). Lies in a `mercury-desired` statement. */

import { z } from "zod";
import {
  bodyBytesMax,
  identityChainBytesMax,
  laneAgeMaxMs,
  lanesPerAgentMax,
  policiesPerAgentMax,
  portalsPerAgentMax,
  sealedSendersMax,
  statementBytesMax,
} from "#lib/limits";
import { codeSchema, identifierSchema, nameSchema, numberSchema, reasonSchema } from "./fields.ts";
import { desiredPortalSchema } from "./portals.ts";

/** An identity as a desired state names it: who it must be, and its chain, base64url. */
const namedIdentitySchema = z.strictObject({
  identifier: identifierSchema,
  chain: z.string().max(Math.ceil((identityChainBytesMax * 4) / 3)),
});

/** Whose messages a sealed plugin takes, and to whom it seals its own (PROTOCOL §8). */
export const pluginSealSchema = z.strictObject({
  /** Solaris' identity for messages: may send, and may replay what others have sent. */
  solaris: namedIdentitySchema,
  senders: z.array(namedIdentitySchema).max(sealedSendersMax),
  /** Null: the configured one is gone, and nothing goes up until there is another. */
  consumer: namedIdentitySchema.nullable(),
});

/** One configured connector. `config` fits the schema of its `type` (`connectorTypes`), secrets included. */
export const desiredPluginSchema = z.strictObject({
  name: nameSchema,
  type: nameSchema,
  /** Number of this plugin's configuration, for wanted against actual. */
  version: numberSchema,
  enabled: z.boolean(),
  config: z.record(z.string(), z.unknown()),
  /** Its messages are sealed, and nothing else is taken; absent = unsealed. */
  seal: pluginSealSchema.optional(),
  lane: z.strictObject({
    /** Past this age a message is dead even while its system is unavailable. */
    ageMaxMs: z
      .int()
      .min(60_000)
      .max(365 * 86_400_000)
      .default(laneAgeMaxMs),
    /** What to do with a message whose outcome can't be known: wait for a person, or try again. */
    onUnknown: z.enum(["hold", "retry"]).default("hold"),
    inboxBytes: z
      .int()
      .min(bodyBytesMax * 2)
      .optional(),
    outboxBytes: z
      .int()
      .min(bodyBytesMax * 2)
      .optional(),
  }),
});

/**
 * A policy that an outlet of this node names. Only roughly bounded here: rules that this version can't compile close the portals
 * that name the policy, and leave the rest of the state alone.
 */
export const desiredPolicySchema = z.strictObject({
  id: nameSchema,
  name: nameSchema,
  version: numberSchema,
  rules: z.array(z.strictObject({ name: z.string().max(256), allow: z.string().max(statementBytesMax) })).max(256),
});

/** All that one node should run. What it does not list does not exist. */
export const desiredStateSchema = z.strictObject({
  plugins: z.array(desiredPluginSchema).max(lanesPerAgentMax),
  portals: z.array(desiredPortalSchema).max(portalsPerAgentMax),
  policies: z.array(desiredPolicySchema).max(policiesPerAgentMax),
});

/** What a desired state is made of. */
export const desiredItemKinds = ["plugin", "portal", "policy"] as const;

/** What a node says of each item after it took a desired state. Body of an up message of kind `report`. */
export const desiredReportSchema = z.strictObject({
  number: numberSchema,
  /** Numbers that were replaced unapplied, because a newer one was there. */
  skipped: numberSchema.optional(),
  items: z
    .array(
      z.strictObject({
        kind: z.enum(desiredItemKinds),
        name: nameSchema,
        /** Version that runs now; 0 = none. Differs from `wanted` where the last good form was kept. */
        actual: numberSchema,
        wanted: numberSchema,
        state: z.enum(["applied", "failed", "removed", "disabled"]),
        code: codeSchema.optional(),
        reason: reasonSchema.optional(),
      }),
    )
    .max(2 * (lanesPerAgentMax + portalsPerAgentMax + policiesPerAgentMax)),
});

/** Orders to a node, run once, answered (PROTOCOL §8). */
export const commandSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("check"), plugin: nameSchema.optional() }),
  z.strictObject({ name: z.literal("collect-now"), plugin: nameSchema }),
  z.strictObject({ name: z.literal("reconnect") }),
  z.strictObject({ name: z.literal("rotate") }),
  z.strictObject({ name: z.literal("log-level"), level: z.enum(["debug", "info", "warn", "error"]) }),
  z.strictObject({ name: z.literal("bundle") }),
  /** What a person decided about a message whose outcome is unknown. */
  z.strictObject({
    name: z.literal("settle"),
    plugin: nameSchema,
    message: z.string().max(64),
    decision: z.enum(["retry", "applied", "dead"]),
  }),
]);

/** Body (JSON) of an up message of kind `answer`; `about` of that message is the command's id. */
export const commandAnswerSchema = z.strictObject({
  ok: z.boolean(),
  code: codeSchema.optional(),
  reason: reasonSchema.optional(),
  result: z.unknown().optional(),
});

export type DesiredPolicy = z.infer<typeof desiredPolicySchema>;
export type DesiredPlugin = z.infer<typeof desiredPluginSchema>;
export type NamedIdentity = z.infer<typeof namedIdentitySchema>;
export type PluginSeal = z.infer<typeof pluginSealSchema>;
export type DesiredState = z.infer<typeof desiredStateSchema>;
export type DesiredReport = z.infer<typeof desiredReportSchema>;
export type Command = z.infer<typeof commandSchema>;
export type CommandAnswer = z.infer<typeof commandAnswerSchema>;
