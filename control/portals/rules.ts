import { z } from "zod";
import { Fault } from "#lib/fault";
import { httpAddedValueLengthMax, portalConnectionsMax, portalNodesMax, portalTlsPinsMax } from "#lib/limits";
import {
  type DesiredPortal,
  hostSchema,
  nameSchema,
  outletHttpSchema,
  portalHostsSchema,
  portalListenSchema,
  portalModes,
  portalPinsSchema,
  portalProtocols,
  portalTargetSchema,
  secretMask,
  tlsPinSchema,
} from "#lib/session";
import type { CustomerRow } from "../customers/index.ts";
import type { PortalRow } from "./repo.ts";

/** What a portal that carries HTTP says beside that. */
const wantedHttpSchema = z.strictObject({
  hosts: portalHostsSchema.default([]).meta({
    description:
      "Host names under which the inlet may be called; none: `localhost` and the address that it listens on.",
  }),
  headers: z
    .record(z.string().max(64), z.string().max(httpAddedValueLengthMax))
    .default({})
    .meta({
      description: `Added to every request, in place of the client's. Write-only: \`${secretMask}\` keeps the value that is stored.`,
    }),
  tls: outletHttpSchema.shape.tls.default(false).meta({ description: "Whether the service speaks TLS." }),
  answerTimeoutMs: outletHttpSchema.shape.answerTimeoutMs.default(60_000),
});

/** What a caller says of a portal. */
export const wantedPortalSchema = z.strictObject({
  name: nameSchema,
  enabled: z.boolean().default(true),
  mode: z.enum(portalModes).default("e2e").meta({
    description:
      "`e2e`: readable at the two nodes alone. `terminated`: ends in Nexus, which reads it and connects to the target itself, for backends without a node; the operator's own list (NEXUS_OUTLETS) must name the target. `tls`: the inlet connects to the target over TLS, for migration; the inlet's site's own list must name it. Nothing changes the mode but this field. The last two are for TCP, and not for customers that require e2e.",
  }),
  protocol: z.enum(portalProtocols).default("tcp"),
  inlet: z.strictObject({
    agentId: nameSchema.meta({ description: "The node that listens." }),
    listen: portalListenSchema.meta({
      description:
        "Loopback unless said otherwise; another address, or a Unix socket's directory, must be on the site's own list.",
    }),
    pins: portalPinsSchema.nullable().default(null).meta({
      description:
        "`e2e`: identifiers, the only ones that it accepts as its outlet; an outlet node that is enrolled anew has another and is refused until this is changed. Null: any outlet node of the portal.",
    }),
  }),
  outlet: z.strictObject({
    agentIds: z.array(nameSchema).max(portalNodesMax).default([]).meta({
      description:
        "`e2e`: nodes that reach the service, at least one; `backend_access` of their licences must name this portal. Other modes: none.",
    }),
    target: portalTargetSchema.meta({
      description:
        "The service as those nodes, Nexus or the inlet reach it; must be on the list of whose network it is in.",
    }),
    connectTimeoutMs: z.int().min(100).max(60_000).default(10_000),
    pins: portalPinsSchema.nullable().default(null).meta({
      description:
        "`e2e`: identifiers, the only ones that may open it, whatever a policy says. Null: as policy or nodes say.",
    }),
    tls: z
      .strictObject({
        pins: z.array(tlsPinSchema).min(1).max(portalTlsPinsMax).meta({
          description:
            "SHA-256 of the service's public key (`spki-sha256:…`) or certificate (`cert-sha256:…`). Another one is refused.",
        }),
        serverName: hostSchema.optional().meta({ description: "Default: the target's host, when that is a name." }),
      })
      .optional()
      .meta({ description: "Of mode `tls`." }),
  }),
  connectionsMax: z
    .int()
    .min(1)
    .max(portalConnectionsMax)
    .default(256)
    .meta({ description: "Connections, or requests, open at a time at one node." }),
  http: wantedHttpSchema.optional().meta({ description: "Of a portal that carries HTTP." }),
  proxyProtocol: z
    .boolean()
    .default(false)
    .meta({ description: "TCP: a PROXY protocol v2 header tells the service whose connection it is." }),
  policyId: nameSchema.nullable().default(null).meta({
    description:
      "Decides who may open it, in place of the list of its nodes. Null: the nodes that it names, and nobody else.",
  }),
});

export type WantedHttp = z.infer<typeof wantedHttpSchema>;
export type WantedPortal = z.infer<typeof wantedPortalSchema>;

/** Fault `invalid` at the field for what is no portal: what does not go with its mode, a node joined to itself. */
export function checkPortal({ mode, inlet, outlet, protocol, http, proxyProtocol, policyId }: WantedPortal): void {
  const wrong: Record<string, string> = {};
  if (mode !== "e2e" && protocol !== "tcp") wrong.mode = "is for TCP: HTTP goes end to end alone";
  if (mode === "e2e" && outlet.agentIds.length === 0) wrong["outlet.agentIds"] = "at least one node serves it";
  if (mode !== "e2e" && outlet.agentIds.length > 0) wrong["outlet.agentIds"] = `no node serves it in mode ${mode}`;
  if (mode !== "e2e" && inlet.pins !== null) wrong["inlet.pins"] = "is for mode e2e";
  if (mode !== "e2e" && outlet.pins !== null) wrong["outlet.pins"] = "is for mode e2e";
  if (mode === "tls" && outlet.tls === undefined) wrong["outlet.tls"] = "says which certificate the service has";
  if (mode !== "tls" && outlet.tls !== undefined) wrong["outlet.tls"] = "is for mode tls";
  if (mode === "tls" && policyId !== null) wrong.policyId = "nobody would judge by it in mode tls";
  if (mode !== "e2e" && proxyProtocol) wrong.proxyProtocol = "is for mode e2e";
  if (protocol !== "http" && http !== undefined) wrong.http = "is for portals that carry HTTP";
  if (protocol === "http" && proxyProtocol) wrong.proxyProtocol = "is for TCP: the service finds X-Forwarded-For";
  for (const [index, agentId] of outlet.agentIds.entries()) {
    if (agentId === inlet.agentId) wrong[`outlet.agentIds.${index}`] = "is the inlet's own node";
    else if (outlet.agentIds.indexOf(agentId) !== index) wrong[`outlet.agentIds.${index}`] = "named twice";
  }
  if (Object.keys(wrong).length > 0) throw new Fault("invalid", undefined, { detail: wrong });
}

/** Whether a portal may run at its customer at all; else it is nothing to its nodes and to Nexus. */
export const isPermitted = (
  { mode }: Pick<PortalRow, "mode">,
  { requireE2e }: Pick<CustomerRow, "requireE2e">,
): boolean => mode === "e2e" || !requireE2e;

/** A portal as the node at this end runs it; undefined where the mode has no node at this end. */
export function desiredPortal(
  row: PortalRow,
  end: DesiredPortal["end"],
  others: readonly { readonly agentId: string; readonly identifier: string }[],
  headers: Readonly<Record<string, string>>,
): DesiredPortal | undefined {
  const {
    id,
    name,
    version,
    enabled,
    mode,
    protocol,
    connectionsMax,
    listen,
    target,
    connectTimeoutMs,
    proxyProtocol,
    policyId,
  } = row;
  const common = { id, name, version, enabled, protocol, connectionsMax };
  const nodes = others.map(({ identifier }) => identifier);
  const { hosts = [], tls: httpTls = false, answerTimeoutMs = 60_000 } = row.http ?? {};
  if (end === "outlet") {
    if (mode !== "e2e") return undefined;
    const pins = row.outletPins === null ? {} : { pins: row.outletPins };
    const http = protocol === "http" ? { http: { tls: httpTls, answerTimeoutMs } } : {};
    const policy = policyId === null ? {} : { policy: policyId };
    return { end, ...common, mode, nodes, target, connectTimeoutMs, proxyProtocol, ...pins, ...policy, ...http };
  }
  const agentIds = others.map(({ agentId }) => agentId);
  const http = protocol === "http" ? { http: { hosts: [...hosts], headers: { ...headers } } } : {};
  const pins = row.inletPins === null ? {} : { pins: row.inletPins };
  const tls = row.tls === null ? {} : { tls: { ...row.tls, target, connectTimeoutMs } };
  return { end, ...common, mode, nodes, agentIds, listen, ...pins, ...tls, ...http };
}
