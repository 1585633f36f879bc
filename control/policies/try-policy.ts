import { z } from "zod";
import { asFault, Fault } from "#lib/fault";
import {
  compilePolicy,
  explain,
  type PolicyInput,
  type PolicyResource,
  type PolicySubject,
  policyActions,
} from "#lib/policy";
import { hostSchema, identifierSchema, nameSchema, portSchema, timeSchema } from "#lib/session";
import { attributesSchema } from "#lib/statement";
import type { Principal } from "../access/principal.ts";
import { credentialAttributes, findAgent } from "../agents/index.ts";
import type { SliceDeps } from "../api/index.ts";
import { licenceById } from "../customers/index.ts";
import type { Db } from "../db/index.ts";
import { rulesSchema } from "./rules.ts";
import { findPolicy } from "./service.ts";

const nodeSchema = z.union([
  z.strictObject({
    agentId: nameSchema.meta({ description: "With the attributes that its next credential will have." }),
  }),
  z.strictObject({
    identifier: identifierSchema.default(`I${"0".repeat(64)}`),
    attributes: attributesSchema.meta({ description: "`customer_id` included." }),
  }),
]);

/** A question to a policy. */
export const triedSchema = z.strictObject({
  policyId: nameSchema.optional().meta({ description: "Default: the policy of the portal." }),
  rules: rulesSchema.optional().meta({ description: "Rules that are not saved, in place of a policy." }),
  subject: nodeSchema,
  resource: z.union([
    z.strictObject({
      portalId: nameSchema,
      agentId: nameSchema.optional().meta({ description: "The node that serves it; default: the portal's first." }),
    }),
    z.strictObject({
      customerId: nameSchema,
      portal: nameSchema.default("portal"),
      name: nameSchema.default("portal"),
      kind: z.string().max(16).default("tcp"),
      target: z.strictObject({ host: hostSchema, port: portSchema }).default({ host: "localhost", port: 80 }),
      node: nodeSchema.optional(),
    }),
  ]),
  request: z
    .strictObject({
      action: z.enum(policyActions).default("open"),
      protocol: z.string().max(16).default("tcp"),
      time: timeSchema.optional().meta({ description: "Default: now." }),
      method: z.string().max(32).optional(),
      host: z.string().max(253).optional(),
      path: z.string().max(4_096).optional(),
    })
    .default({ action: "open", protocol: "tcp" }),
});

export type Tried = z.infer<typeof triedSchema>;

/** A portal as policies see it: `node` is one that serves it. */
export interface PortalFacts {
  readonly policyId: string | null;
  readonly customerId: string;
  readonly resource: Pick<PolicyResource, "portal" | "name" | "kind" | "target" | "nodes">;
  readonly outletAgentIds: readonly string[];
}

export interface TryDeps extends Pick<SliceDeps, "db" | "clock"> {
  /** What a portal is; Fault `not_found` when this key may not see it. */
  readonly portalFacts: (by: Principal, portalId: string) => Promise<PortalFacts>;
}

/** What a policy would decide, by the very function that nodes decide by, and why. Faults: `invalid` at what is not there, or per rule. */
export async function tryPolicy(deps: TryDeps, by: Principal, tried: Tried) {
  const { resource, policyId } = await resourceOf(deps, by, tried.resource);
  if (tried.policyId !== undefined && tried.rules !== undefined)
    throw new Fault("invalid", undefined, { detail: { rules: "either a policy or rules" } });
  const id = tried.policyId ?? policyId;
  const saved = tried.rules === undefined && id !== null ? await at("policyId", findPolicy(deps, by, id)) : undefined;
  const rules = tried.rules ?? saved?.rules;
  const { time = deps.clock.now(), ...request } = tried.request;
  const subject = await nodeOf(deps, by, "subject", tried.subject);
  const input: PolicyInput = { subject, resource, request: { ...request, time } };
  const told = explain(rules === undefined ? undefined : compilePolicy(rules), input);
  return { policy: saved === undefined ? null : { id: saved.id, name: saved.name, version: saved.version }, ...told };
}

async function resourceOf(
  deps: TryDeps,
  by: Principal,
  wanted: Tried["resource"],
): Promise<{ resource: PolicyResource; policyId: string | null }> {
  if (!("portalId" in wanted)) {
    const { customerId, portal, name, kind, target, node } = wanted;
    const serving = node === undefined ? nobody(customerId) : await nodeOf(deps, by, "resource.node", node);
    return { resource: { portal, name, kind, target, customerId, nodes: [], node: serving }, policyId: null };
  }
  const facts = await at("resource.portalId", deps.portalFacts(by, wanted.portalId));
  const agentId = wanted.agentId ?? facts.outletAgentIds[0];
  if (agentId === undefined || !facts.outletAgentIds.includes(agentId))
    throw new Fault("invalid", undefined, { detail: { "resource.agentId": "no node that serves this portal" } });
  const node = await nodeOf(deps, by, "resource", { agentId });
  return { resource: { ...facts.resource, customerId: facts.customerId, node }, policyId: facts.policyId };
}

const nobody = (customerId: string): PolicySubject => ({ identifier: "", attributes: { customer_id: customerId } });

async function nodeOf(
  deps: { readonly db: Db },
  by: Principal,
  path: string,
  wanted: Tried["subject"],
): Promise<PolicySubject> {
  if (!("agentId" in wanted)) return wanted;
  const agent = await at(`${path}.agentId`, findAgent(deps, by, wanted.agentId));
  const licence = await licenceById(deps.db, agent.licenceId);
  if (licence === undefined) throw new TypeError("an agent without a licence");
  return { identifier: agent.identifier ?? "", attributes: credentialAttributes(agent, licence) };
}

/** What is not there, or not for this key, is told at its field. */
async function at<T>(path: string, found: Promise<T>): Promise<T> {
  try {
    return await found;
  } catch (error) {
    const fault = asFault(error, "internal");
    if (fault.code !== "not_found") throw error;
    throw new Fault("invalid", undefined, { detail: { [path]: "no such thing" }, cause: error });
  }
}
