import { z } from "zod";
import { compilePolicy, type PolicyRule, policyRulesSchema } from "#lib/policy";
import { type DesiredPolicy, nameSchema } from "#lib/session";
import type { PolicyRow } from "./repo.ts";

const roots =
  "`subject` (the attributes of the node that asks, as its credential has them, and its `identifier`), `resource` (`portal`, `name`, " +
  "`kind`, `target.host`, `target.port`, `customer_id`, and under `node` the attributes of the node that serves it), `request` " +
  "(`action`, `protocol`, `time`; for HTTP `method`, `host`, `path`)";

export const rulesSchema = policyRulesSchema.meta({
  description: `Each allows what its CEL expression is exactly \`true\` for; nothing else is allowed. An expression selects from ${roots}. An attribute that is missing allows nothing, unless the other side of an \`||\` or \`&&\` decides; \`has(subject.tier)\` asks for it.`,
});

/** What a caller says of a policy. */
export const wantedPolicySchema = z.strictObject({
  name: nameSchema,
  note: z.string().max(2_000).default(""),
  rules: rulesSchema,
});

export type WantedPolicy = z.infer<typeof wantedPolicySchema>;

/** Fault `invalid` with the place and the reason of each rule that can't be. */
export function checkRules(rules: readonly PolicyRule[]): void {
  compilePolicy(rules);
}

/** A policy as the nodes that serve its portals take it. */
export function desiredPolicy({ id, name, version, rules }: PolicyRow): DesiredPolicy {
  return { id, name, version, rules: [...rules] };
}
