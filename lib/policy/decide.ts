import type { CompiledPolicy } from "./compile-policy.ts";
import { celContext, type PolicyInput } from "./policy-input.ts";

/** What decided: customer isolation, which comes before all else; the nodes that the portal names; the policy. */
export type DecidedBy = "isolation" | "nodes" | "policy";

/** Whether it is allowed; `rule` is the one that allowed it. Denied: with the reason for the log. */
export type PolicyDecision =
  | { readonly allowed: true; readonly by: DecidedBy; readonly rule?: string }
  | { readonly allowed: false; readonly by: DecidedBy; readonly reason: string };

/**
 * Decides whether `subject` may do `request` with `resource` (PROTOCOL §10). Both sides have a customer and it is the same: built
 * in, before any policy. Without a policy the nodes that the portal names may; with one whoever a rule of it allows. Never throws.
 */
export function decide(policy: CompiledPolicy | undefined, input: PolicyInput): PolicyDecision {
  if (!sameCustomer(input)) return { allowed: false, by: "isolation", reason: "a node of another customer" };
  if (policy === undefined) {
    if (input.resource.nodes.includes(input.subject.identifier)) return { allowed: true, by: "nodes" };
    return { allowed: false, by: "nodes", reason: "the portal does not name this node" };
  }
  const context = celContext(input);
  for (const { name, evaluate } of policy.rules) {
    const outcome = evaluate(context);
    if ("value" in outcome && outcome.value === true) return { allowed: true, by: "policy", rule: name };
  }
  return { allowed: false, by: "policy", reason: "no rule of the policy allows it" };
}

export function sameCustomer({ subject, resource }: PolicyInput): boolean {
  return resource.customerId !== "" && subject.attributes.customer_id === resource.customerId;
}
