import type { ASTNode } from "@marcbachmann/cel-js";

/** The names of a selection, root first (`subject.tier`, `subject["tier"]`, `subject.capabilities[0]`); undefined for anything else. */
export function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === "id") return [node.args];
  if (node.op !== "." && node.op !== "[]") return undefined;
  const under = pathOf(node.args[0]);
  const [, by] = node.args;
  const name = typeof by === "string" ? by : nameIn(by);
  return under === undefined || name === undefined ? undefined : [...under, name];
}

function nameIn(node: ASTNode): string | undefined {
  if (node.op !== "value") return undefined;
  if (typeof node.args === "string") return node.args;
  return typeof node.args === "bigint" && node.args >= 0n ? String(node.args) : undefined;
}

/** The selections in a tree, as they are written with dots; each once, in their order. */
export function attributePathsOf(node: ASTNode): string[] {
  const found = new Set<string>();
  visit(node, (path) => found.add(path.join(".")));
  return [...found];
}

function visit(node: ASTNode, found: (path: readonly string[]) => void): void {
  const path = pathOf(node);
  if (path !== undefined) {
    if (path.length > 1 && !holdsAttributes(path)) found(path);
    return;
  }
  const asked = node.op === "in" ? askedName(node.args) : undefined;
  if (asked !== undefined) found(asked);
  for (const part of partsOf(node)) visit(part, found);
}

/** The attribute that `"tier" in subject` asks for. */
function askedName([name, under]: readonly [ASTNode, ASTNode]): readonly string[] | undefined {
  const path = pathOf(under);
  return path !== undefined && name.op === "value" && typeof name.args === "string" && holdsAttributes(path)
    ? [...path, name.args]
    : undefined;
}

/** Whether it is a table of a node's attributes, and no attribute. */
export const holdsAttributes = (path: readonly string[]) => ["subject", "resource.node"].includes(path.join("."));

function partsOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case "!_":
      return [node.args];
    case "call":
      return node.args[1];
    case "rcall":
      return [node.args[1], ...node.args[2]];
    case "in":
    case "&&":
    case "||":
    case "==":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=":
    case "?:":
    case "list":
      return node.args;
    default:
      return [];
  }
}
