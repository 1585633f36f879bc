import type { Attributes } from "#lib/statement";
import type { LicenceRow } from "../customers/index.ts";
import { licenceAttributes } from "../customers/index.ts";
import type { AgentRow } from "./repo.ts";

export type AgentState = "pending" | "enrolled" | "held" | "revoked";

/** Where an agent is in its life. */
export function agentState(agent: Pick<AgentRow, "identifier" | "heldAt" | "revokedAt">): AgentState {
  if (agent.revokedAt !== null) return "revoked";
  if (agent.heldAt !== null) return "held";
  return agent.identifier === null ? "pending" : "enrolled";
}

/** What a credential says of an agent: its own attributes under the licence's, under Solaris' own. */
export function credentialAttributes(
  agent: Pick<AgentRow, "id" | "customerId" | "role" | "attributes">,
  licence: Pick<LicenceRow, "tier" | "capabilities" | "rateLimitRpm" | "backendAccess" | "attributes">,
): Attributes {
  return {
    ...agent.attributes,
    ...licenceAttributes(licence),
    role: agent.role,
    customer_id: agent.customerId,
    agent_id: agent.id,
  };
}
