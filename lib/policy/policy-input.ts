import type { Attributes, AttributeValue } from "#lib/statement";
import type { policyActions } from "./policy-rules.ts";

/** Who asks: a node, as its verified credential says. */
export interface PolicySubject {
  readonly identifier: string;
  readonly attributes: Attributes;
}

/** What is asked for: what a portal reaches. */
export interface PolicyResource {
  /** Id of the portal. */
  readonly portal: string;
  readonly name: string;
  /** What it carries. */
  readonly kind: string;
  readonly target: { readonly host: string; readonly port: number };
  /** Whose it is: exactly one customer's; empty = nobody's, and nobody may. */
  readonly customerId: string;
  /** Identifiers that the portal names: who may where no policy decides. */
  readonly nodes: readonly string[];
  /** The node that serves it. */
  readonly node: PolicySubject;
}

export interface PolicyRequest {
  readonly action: (typeof policyActions)[number];
  /** ms since 1970 */
  readonly time: number;
  readonly protocol: string;
  /** Of an HTTP request. */
  readonly method?: string | undefined;
  readonly host?: string | undefined;
  readonly path?: string | undefined;
}

export interface PolicyInput {
  readonly subject: PolicySubject;
  readonly resource: PolicyResource;
  readonly request: PolicyRequest;
}

/** What rules may select from a root; `any`: whatever attributes there are. */
export const policyRoots = {
  subject: "any",
  resource: {
    portal: "value",
    name: "value",
    kind: "value",
    customer_id: "value",
    target: { host: "value", port: "value" },
    node: "any",
  },
  request: { action: "value", time: "value", protocol: "value", method: "value", host: "value", path: "value" },
} as const;

type CelValue = bigint | AttributeValue | Date | ReadonlyMap<string, CelValue>;
/** The three roots as CEL sees them. Maps: no name of an attribute is one of JavaScript's own. */
export type CelContext = Record<keyof typeof policyRoots, ReadonlyMap<string, CelValue>>;

export function celContext({ subject, resource, request }: PolicyInput): CelContext {
  const { portal, name, kind, target, customerId, node } = resource;
  const { action, protocol, time, method, host, path } = request;
  const asked: [string, CelValue][] = [
    ["action", action],
    ["protocol", protocol],
    ["time", new Date(time)],
  ];
  if (method !== undefined) asked.push(["method", method]);
  if (host !== undefined) asked.push(["host", host]);
  if (path !== undefined) asked.push(["path", path]);
  return {
    subject: nodeMap(subject),
    resource: new Map<string, CelValue>([
      ["portal", portal],
      ["name", name],
      ["kind", kind],
      ["customer_id", customerId],
      [
        "target",
        new Map<string, CelValue>([
          ["host", target.host],
          ["port", BigInt(target.port)],
        ]),
      ],
      ["node", nodeMap(node)],
    ]),
    request: new Map(asked),
  };
}

/** The identifier stands last: no attribute takes its place. Whole numbers are CEL's `int`. */
function nodeMap({ identifier, attributes }: PolicySubject): ReadonlyMap<string, CelValue> {
  const map = new Map<string, CelValue>();
  for (const name in attributes) {
    const value = attributes[name];
    if (value === undefined) continue;
    map.set(name, typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value);
  }
  return map.set("identifier", identifier);
}
