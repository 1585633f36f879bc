/** Agents: what the customer calls a Mercury; its identities, tokens and tunnel slots. */
export {
  type AgentRow,
  agentById,
  firstEnrolledAt,
  type IdentityRow,
  identityById,
  insertIdentity,
  redeemToken,
  revokeIdentity,
  type Standing,
  standingOf,
  type TokenRow,
  tokenById,
  updateAgent,
  updateIdentity,
} from "./repo.ts";
export { agentRoutes } from "./routes.ts";
export { credentialAttributes } from "./rules.ts";
export { findAgent, isAgentIdentity } from "./service.ts";
