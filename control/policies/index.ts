/** Policies: who may open what, in CEL; part of the desired state of the nodes that serve the portals that name them. */
export { policyIsThere } from "./repo.ts";
export { policyRoutes } from "./routes.ts";
export { demandUsable, desiredPoliciesOf, policyForOutlet } from "./service.ts";
export type { PortalFacts } from "./try-policy.ts";
