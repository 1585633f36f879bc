import type { PolicyInput } from "#lib/policy";
import type { Attributes } from "#lib/statement";

export const identifierOf = (digit: string) => `I${digit.repeat(64)}`;

/** A node of one customer that asks for a portal of the same. */
export function inputOf(
  attributes: Attributes = {},
  change: { node?: Attributes; resource?: object; request?: object } = {},
): PolicyInput {
  const customer = { role: "edge", customer_id: "cus_1" };
  return {
    subject: { identifier: identifierOf("a"), attributes: { ...customer, agent_id: "agt_1", ...attributes } },
    resource: {
      portal: "prt_1",
      name: "db",
      kind: "tcp",
      target: { host: "db.internal", port: 5_432 },
      customerId: "cus_1",
      nodes: [],
      node: { identifier: identifierOf("b"), attributes: { ...customer, agent_id: "agt_2", ...change.node } },
      ...change.resource,
    },
    request: { action: "open", protocol: "tcp", time: Date.parse("2026-01-01T00:00:00Z"), ...change.request },
  };
}
