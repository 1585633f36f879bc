/** Portals as they stand in a node's desired state (PROTOCOL §9): an inlet here, or an outlet, and the nodes at the other end. */

import { z } from "zod";
import { portalConnectionsMax, portalNodesMax, portalPathLengthMax } from "#lib/limits";
import { identifierSchema, nameSchema, numberSchema } from "./fields.ts";

/** `e2e`: readable at the two nodes alone. `terminated`: ends in Nexus. `tls`: to a configured address, for migration. */
export const portalModes = ["e2e", "terminated", "tls"] as const;
export type PortalMode = (typeof portalModes)[number];

export const portSchema = z.int().min(1).max(65_535);
/** Host name or address, IPv6 without brackets. */
export const hostSchema = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9._:-]+$/, "a host name or an address");

/** Where an inlet listens: loopback unless said otherwise, or a Unix socket in a directory that the site's list names. */
export const portalListenSchema = z.union([
  z.strictObject({ host: hostSchema.default("127.0.0.1"), port: portSchema }),
  z.strictObject({
    unix: z
      .string()
      .regex(/^\/[^\0]+$/, "an absolute path")
      .max(portalPathLengthMax),
  }),
]);

/** The service behind an outlet. */
export const portalTargetSchema = z.strictObject({ host: hostSchema, port: portSchema });

const common = {
  /** Id of the portal: the same at both ends, and what a stream to it names. */
  id: nameSchema,
  name: nameSchema,
  /** Number of this portal's definition, for wanted against actual. */
  version: numberSchema,
  enabled: z.boolean(),
  /** Others are refused until they exist: nothing falls back by itself. */
  mode: z.literal("e2e"),
  protocol: z.literal("tcp"),
  connectionsMax: z.int().min(1).max(portalConnectionsMax),
};

/** One end of a portal, as the node there runs it. */
export const desiredPortalSchema = z.discriminatedUnion("end", [
  z.strictObject({
    end: z.literal("inlet"),
    ...common,
    listen: portalListenSchema,
    /** Nodes whose outlet it may use, as identifiers; none while none is enrolled. */
    nodes: z.array(identifierSchema).max(portalNodesMax),
  }),
  z.strictObject({
    end: z.literal("outlet"),
    ...common,
    target: portalTargetSchema,
    connectTimeoutMs: z.int().min(100).max(60_000),
    /** Nodes whose inlet may open it, where no policy decides. */
    nodes: z.array(identifierSchema).max(portalNodesMax),
    /** Id of the policy that decides who may open it, one of the same desired state. */
    policy: nameSchema.optional(),
  }),
]);

export type PortalListen = z.infer<typeof portalListenSchema>;
export type PortalTarget = z.infer<typeof portalTargetSchema>;
export type DesiredPortal = z.infer<typeof desiredPortalSchema>;
export type DesiredInlet = Extract<DesiredPortal, { end: "inlet" }>;
export type DesiredOutlet = Extract<DesiredPortal, { end: "outlet" }>;
