/** Portals as they stand in a node's desired state (PROTOCOL §9): an inlet here, or an outlet, and the nodes at the other end. */

import { z } from "zod";
import {
  httpAddedHeadersMax,
  httpAddedValueLengthMax,
  httpHostsMax,
  portalConnectionsMax,
  portalNodesMax,
  portalPathLengthMax,
  portalPinsMax,
  portalTlsPinsMax,
} from "#lib/limits";
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

/** What a portal carries: bytes of a connection, or HTTP requests, each judged by its method and path. */
export const portalProtocols = ["tcp", "http"] as const;

/** Host names under which an inlet may be called, with a port where it is not the one it listens on. */
export const portalHostsSchema = z
  .array(
    z
      .string()
      .regex(/^(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/, "a host name, with a port if need be"),
  )
  .max(httpHostsMax);

/** Names of fields that nobody may set: they are the connection's own, or say who asks. */
const ownFields =
  /^(?:connection|content-length|expect|forwarded|host|keep-alive|proxy-.*|sec-websocket-.*|te|trailer|transfer-encoding|upgrade|x-forwarded-.*)$/;

/** Headers that an inlet adds to every request (a licence key): secrets. Names in lower case. */
export const portalHeadersSchema = z
  .record(
    z
      .string()
      .regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/, "a header's name in lower case")
      .refine((name) => !ownFields.test(name), "can't be set"),
    z
      .string()
      .max(httpAddedValueLengthMax)
      .regex(/^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/, "a header's value: visible ASCII"),
  )
  .refine((headers) => Object.keys(headers).length <= httpAddedHeadersMax, `at most ${httpAddedHeadersMax}`);

/** HTTP as an inlet takes it. */
export const inletHttpSchema = z.strictObject({
  /** None: `localhost` and the address that it listens on. */
  hosts: portalHostsSchema,
  headers: portalHeadersSchema,
});

/** HTTP as an outlet makes it. */
export const outletHttpSchema = z.strictObject({
  /** Whether the service speaks TLS. */
  tls: z.boolean(),
  /** How long the service may take until its answer begins. */
  answerTimeoutMs: z.int().min(1_000).max(3_600_000),
});

/** Identifiers that an end accepts at the other, beside all else that it demands; a node that is enrolled anew has another. */
export const portalPinsSchema = z.array(identifierSchema).min(1).max(portalPinsMax);

/** SHA-256, in hex digits, of a certificate or of its public key (SubjectPublicKeyInfo), both as DER. */
export const tlsPinSchema = z
  .string()
  .regex(/^(?:spki|cert)-sha256:[0-9a-f]{64}$/, "spki-sha256: or cert-sha256: and 64 hex digits in lower case");

/** Where an inlet of mode `tls` leads, and whom it takes for that. */
const inletTlsSchema = z.strictObject({
  target: portalTargetSchema,
  /** What it calls the service in the handshake; default the target's host, when that is a name. */
  serverName: hostSchema.optional(),
  /** The service shows a certificate that one of them names, or nothing is said to it. No authority is asked. */
  pins: z.array(tlsPinSchema).min(1).max(portalTlsPinsMax),
  connectTimeoutMs: z.int().min(100).max(60_000),
});

const common = {
  /** Id of the portal: the same at both ends, and what a stream to it names. */
  id: nameSchema,
  name: nameSchema,
  /** Number of this portal's definition, for wanted against actual. */
  version: numberSchema,
  enabled: z.boolean(),
  protocol: z.enum(portalProtocols),
  connectionsMax: z.int().min(1).max(portalConnectionsMax),
};

/** One end of a portal, as the node there runs it. Its mode is what it says: nothing falls back by itself. */
export const desiredPortalSchema = z.discriminatedUnion("end", [
  z.strictObject({
    end: z.literal("inlet"),
    ...common,
    mode: z.enum(portalModes),
    listen: portalListenSchema,
    /** Nodes whose outlet it may use, as identifiers; none while none is enrolled. */
    nodes: z.array(identifierSchema).max(portalNodesMax),
    /** The same nodes as people name them: their agents' ids. */
    agentIds: z.array(nameSchema).max(portalNodesMax).default([]),
    /** Of those, the only ones that it accepts. */
    pins: portalPinsSchema.optional(),
    /** Of mode `tls`. */
    tls: inletTlsSchema.optional(),
    /** Of a portal that carries HTTP. */
    http: inletHttpSchema.optional(),
  }),
  z.strictObject({
    end: z.literal("outlet"),
    ...common,
    /** Other modes have no node at this end. */
    mode: z.literal("e2e"),
    target: portalTargetSchema,
    connectTimeoutMs: z.int().min(100).max(60_000),
    /** Nodes whose inlet may open it, where no policy decides. */
    nodes: z.array(identifierSchema).max(portalNodesMax),
    /** The only nodes that may open it, whatever a policy says. */
    pins: portalPinsSchema.optional(),
    /** Id of the policy that decides who may open it, one of the same desired state. */
    policy: nameSchema.optional(),
    /** Of a portal that carries HTTP. */
    http: outletHttpSchema.optional(),
    /** Whether the service is told whose connection it is, by a PROXY protocol v2 header. For TCP only. */
    proxyProtocol: z.boolean().default(false),
  }),
]);

/** What a node calls one of its inlets' `tls`. */
export type InletTls = z.infer<typeof inletTlsSchema>;
export type PortalListen = z.infer<typeof portalListenSchema>;
export type PortalTarget = z.infer<typeof portalTargetSchema>;
export type DesiredPortal = z.infer<typeof desiredPortalSchema>;
export type DesiredInlet = Extract<DesiredPortal, { end: "inlet" }>;
export type DesiredOutlet = Extract<DesiredPortal, { end: "outlet" }>;
