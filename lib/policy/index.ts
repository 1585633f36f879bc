/** Who may use what (PROTOCOL §10): rules in CEL over subject, resource and request; deny by default. Layer 1, pure. */
export { type CompiledPolicy, compilePolicy } from "./compile-policy.ts";
export { decide, type PolicyDecision } from "./decide.ts";
export { type ConjunctExplanation, explain, type PolicyExplanation, type RuleExplanation } from "./explain.ts";
export type { PolicyInput, PolicyRequest, PolicyResource, PolicySubject } from "./policy-input.ts";
export { type PolicyRule, policyActions, policyRulesSchema } from "./policy-rules.ts";
