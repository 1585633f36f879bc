import { z } from "zod";
import { Fault } from "#lib/fault";
import { portalConnectionsMax, portalNodesMax } from "#lib/limits";
import { type DesiredPortal, nameSchema, portalListenSchema, portalModes, portalTargetSchema } from "#lib/session";
import type { PortalRow } from "./repo.ts";
import { portalProtocols } from "./tables.ts";

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
    .meta({ description: "Open at a time at one node." }),
  policyId: nameSchema.nullable().default(null).meta({
    description:
      "Decides who may open it, in place of the list of its nodes. Null: the nodes that it names, and nobody else.",
  }),
});

export type WantedPortal = z.infer<typeof wantedPortalSchema>;

/** Fault `invalid` at the field for what is no portal: a mode that is not offered, a node joined to itself. */
export function checkPortal({ mode, inlet, outlet }: WantedPortal): void {
  const wrong: Record<string, string> = {};
  if (mode !== "e2e") wrong.mode = "not offered yet: only e2e";
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
  nodes: readonly string[],
): DesiredPortal | undefined {
  const { id, name, version, enabled, mode, protocol, connectionsMax, listen, target, connectTimeoutMs, policyId } =
    row;
  if (mode !== "e2e") return undefined;
  const common = { id, name, version, enabled, mode, protocol, connectionsMax, nodes: [...nodes] };
  if (end === "inlet") return { end, ...common, listen };
  return { end, ...common, target, connectTimeoutMs, ...(policyId === null ? {} : { policy: policyId }) };
}
