import type { Attributes } from "#lib/statement";

/** Who asks: a node whose credential was verified. */
export interface OpenSubject {
  readonly identifier: string;
  readonly attributes: Attributes;
}

/** What is asked for: the outlet of a portal. */
export interface OpenResource {
  readonly portal: string;
  readonly name: string;
  readonly customerId: string;
  readonly target: { readonly host: string; readonly port: number };
  /** Nodes that the portal names. */
  readonly nodes: readonly string[];
}

export interface OpenRequest {
  readonly protocol: "tcp";
  /** ms since 1970 */
  readonly time: number;
}

/** Decides, at the serving end and at every stream, whether `subject` may open `resource`. Denied: with the reason for the log. */
export type MayOpen = (
  subject: OpenSubject,
  resource: OpenResource,
  request: OpenRequest,
) => { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

/** Nodes that the portal names, of the outlet's own customer; nobody else. */
export const namedNodesMayOpen: MayOpen = (subject, resource) => {
  if (subject.attributes.customer_id !== resource.customerId || resource.customerId === "")
    return { allowed: false, reason: "a node of another customer" };
  if (!resource.nodes.includes(subject.identifier))
    return { allowed: false, reason: "the portal does not name this node" };
  return { allowed: true };
};
