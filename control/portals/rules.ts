import { z } from "zod";
import { Fault } from "#lib/fault";
import { httpAddedValueLengthMax, portalConnectionsMax, portalNodesMax } from "#lib/limits";
import {
  type DesiredPortal,
  nameSchema,
  outletHttpSchema,
  portalHostsSchema,
  portalListenSchema,
  portalModes,
  portalProtocols,
  portalTargetSchema,
  secretMask,
} from "#lib/session";
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
  mode: z
    .enum(portalModes)
    .default("e2e")
    .meta({ description: "`e2e`: readable at the two nodes alone. The others are not offered yet." }),
  protocol: z.enum(portalProtocols).default("tcp"),
  inlet: z.strictObject({
    agentId: nameSchema.meta({ description: "The node that listens." }),
    listen: portalListenSchema.meta({
      description:
        "Loopback unless said otherwise; another address, or a Unix socket's directory, must be on the site's own list.",
    }),
  }),
  outlet: z.strictObject({
    agentIds: z.array(nameSchema).min(1).max(portalNodesMax).meta({ description: "Nodes that reach the service." }),
    target: portalTargetSchema.meta({
      description: "The service as those nodes reach it; must be on their sites' own lists.",
    }),
    connectTimeoutMs: z.int().min(100).max(60_000).default(10_000),
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

/** Fault `invalid` at the field for what is no portal: a mode that is not offered, a node joined to itself. */
export function checkPortal({ mode, inlet, outlet, protocol, http, proxyProtocol }: WantedPortal): void {
  const wrong: Record<string, string> = {};
  if (mode !== "e2e") wrong.mode = "not offered yet: only e2e";
  if (protocol !== "http" && http !== undefined) wrong.http = "is for portals that carry HTTP";
  if (protocol === "http" && proxyProtocol) wrong.proxyProtocol = "is for TCP: the service finds X-Forwarded-For";
  for (const [index, agentId] of outlet.agentIds.entries()) {
    if (agentId === inlet.agentId) wrong[`outlet.agentIds.${index}`] = "is the inlet's own node";
    else if (outlet.agentIds.indexOf(agentId) !== index) wrong[`outlet.agentIds.${index}`] = "named twice";
  }
  if (Object.keys(wrong).length > 0) throw new Fault("invalid", undefined, { detail: wrong });
}

/** A portal as the node at this end runs it; undefined for a mode that no node runs. */
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
  if (mode !== "e2e") return undefined;
  const common = { id, name, version, enabled, mode, protocol, connectionsMax };
  const nodes = others.map(({ identifier }) => identifier);
  const { hosts = [], tls = false, answerTimeoutMs = 60_000 } = row.http ?? {};
  if (end === "outlet") {
    const http = protocol === "http" ? { http: { tls, answerTimeoutMs } } : {};
    const policy = policyId === null ? {} : { policy: policyId };
    return { end, ...common, nodes, target, connectTimeoutMs, proxyProtocol, ...policy, ...http };
  }
  const agentIds = others.map(({ agentId }) => agentId);
  const http = protocol === "http" ? { http: { hosts: [...hosts], headers: { ...headers } } } : {};
  return { end, ...common, nodes, agentIds, listen, ...http };
}
