import { Fault } from "#lib/fault";
import type { DesiredPortal } from "#lib/session";

/** Whether this end of a portal takes a node for the other end: one that it names and, where it has pins, one of those. */
export function isAccepted({ nodes, pins }: Pick<DesiredPortal, "nodes" | "pins">, identifier: string): boolean {
  return nodes.includes(identifier) && (pins === undefined || pins.includes(identifier));
}

/** The nodes that an inlet may open streams to. Fault `identity_unexpected` when those that it names are none of its pins. */
export function acceptedNodes({ nodes, pins }: Pick<DesiredPortal, "nodes" | "pins">): readonly string[] {
  const accepted = nodes.filter((identifier) => isAccepted({ nodes, pins }, identifier));
  if (nodes.length > 0 && accepted.length === 0)
    throw new Fault("identity_unexpected", "the nodes at the other end are not those that the inlet is pinned to");
  return accepted;
}
