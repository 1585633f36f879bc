/** Messages of the control stream of a session (PROTOCOL §6, §7): configuration and orders, never behind data. */

import { z } from "zod";
import { lanesPerAgentMax } from "#lib/limits";
import {
  bytesSchema,
  chainSchema,
  codeSchema,
  identifierSchema,
  idSchema,
  laneNameSchema,
  nameSchema,
  numberSchema,
  reasonSchema,
  statementSchema,
  timeSchema,
} from "./fields.ts";

/** How far ingest has taken one lane of an agent: the newest generation and the last number stored in it. */
export const upWatermarkSchema = z.strictObject({
  plugin: laneNameSchema,
  generation: numberSchema,
  number: numberSchema,
});

/** What a plugin's own check said, and what waits in its lanes. */
export const pluginHealthSchema = z.strictObject({
  plugin: nameSchema,
  ok: z.boolean(),
  /** Why not ok, or `waiting: …` of a lane that stands still. */
  reason: reasonSchema.optional(),
  latencyMs: z.number().min(0).optional(),
  checkedAt: timeSchema.optional(),
  inboxMessages: numberSchema,
  inboxBytes: numberSchema,
  outboxMessages: numberSchema,
  outboxBytes: numberSchema,
});

const host = z.strictObject({
  version: z.string().max(64),
  platform: z.string().max(64),
  hostname: z.string().max(255),
});

/** A label between one tunnel and its Nexus: drawn by Nexus, ascending, never used twice (PROTOCOL §7). */
const relayIdSchema = z.int().min(1).max(0xffff_ffff);
/** What both ends of an end-to-end channel must know alike (PROTOCOL §6): subprotocols offered, and the initiator's random value. */
const relayTerms = {
  offered: z.array(z.string().max(32)).min(1).max(4),
  binding: z.instanceof(Uint8Array).refine((bytes) => bytes.length === 16, { message: "16 bytes" }),
};

/** Mercury → Nexus. */
export const controlUpSchema = z.discriminatedUnion("type", [
  /** First message: what speaks. */
  z.strictObject({ type: z.literal("hello"), ...host.shape }),
  /** Epoch and continuity value are fsynced; data streams may open after `opened`. */
  z.strictObject({ type: z.literal("ready"), epoch: numberSchema }),
  /** Asks for a fresh credential; `chain` when the identity was rotated. Answer: `credential` or `problem`. */
  z.strictObject({ type: z.literal("refresh"), chain: chainSchema.optional() }),
  /** On Mercury's own schedule: the data path's state as its plugins see it. */
  z.strictObject({
    type: z.literal("health"),
    at: timeSchema,
    /** Number of the desired state that runs; 0 = none yet. */
    desired: numberSchema,
    plugins: z.array(pluginHealthSchema).max(lanesPerAgentMax),
  }),
  /** Asks for a wire to another node. Answer: `relay-opened`, or `relay-refused` within 2 s. */
  z.strictObject({ type: z.literal("relay-open"), request: numberSchema, to: identifierSchema, ...relayTerms }),
  /** Takes an offered wire. */
  z.strictObject({ type: z.literal("relay-accept"), relay: relayIdSchema }),
  /** Gives a wire up, or refuses an offered one: the other node is told the code. */
  z.strictObject({ type: z.literal("relay-close"), relay: relayIdSchema, code: codeSchema }),
]);

/** Nexus → Mercury. */
export const controlDownSchema = z.discriminatedUnion("type", [
  /** What Solaris drew at this opening; fsync epoch and continuity before `ready`. */
  z.strictObject({
    type: z.literal("welcome"),
    agentId: nameSchema,
    epoch: numberSchema,
    continuity: bytesSchema(64),
    serverTime: timeSchema,
    lanes: z.array(upWatermarkSchema).max(lanesPerAgentMax + 1),
    /** Numbers as of this opening: a statement below them is old. */
    desired: numberSchema,
    revocations: numberSchema,
  }),
  /** The session is the agent's newest in its slot: data streams may open. */
  z.strictObject({ type: z.literal("opened") }),
  /** Desired state, sealed to this node. */
  z.strictObject({ type: z.literal("desired"), statement: statementSchema }),
  /** A command, sealed to this node. */
  z.strictObject({ type: z.literal("command"), statement: statementSchema }),
  /** A fresh credential with what it refers to. */
  z.strictObject({
    type: z.literal("credential"),
    credential: statementSchema,
    authority: chainSchema,
    revocations: statementSchema,
  }),
  /** The Nexus' own credential was renewed: without it the channel ends when the one of the handshake runs out. */
  z.strictObject({ type: z.literal("peer"), credential: statementSchema, authority: chainSchema }),
  /** A newer revocation list, pushed at once. */
  z.strictObject({ type: z.literal("revocations"), statement: statementSchema, authority: chainSchema }),
  /** The wire that was asked for is there: messages of kind 0x03 with this id. */
  z.strictObject({ type: z.literal("relay-opened"), request: numberSchema, relay: relayIdSchema }),
  z.strictObject({ type: z.literal("relay-refused"), request: numberSchema, code: codeSchema }),
  /** Another node asks for a wire; `from` is what this Nexus says, which the handshake proves. Answer: `relay-accept` or `relay-close`. */
  z.strictObject({ type: z.literal("relay-offer"), relay: relayIdSchema, from: identifierSchema, ...relayTerms }),
  /** The other end of a wire is gone, or Nexus has closed it: why. Nothing comes on it any more. */
  z.strictObject({ type: z.literal("relay-closed"), relay: relayIdSchema, code: codeSchema }),
  /** A request was refused: which, and why. */
  z.strictObject({ type: z.literal("problem"), about: z.string().max(32), code: codeSchema, id: idSchema.optional() }),
]);

export type UpWatermark = z.infer<typeof upWatermarkSchema>;
export type PluginHealth = z.infer<typeof pluginHealthSchema>;
export type ControlUp = z.infer<typeof controlUpSchema>;
export type ControlDown = z.infer<typeof controlDownSchema>;
