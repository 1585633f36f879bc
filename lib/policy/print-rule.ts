import type { ASTNode } from "@marcbachmann/cel-js";

/**
 * A checked tree as CEL again, each operation in parentheses but the outermost: what is read back is the same tree, and what is
 * shown of a part is whole. `blank` stands where a line may end.
 */
export function printRule(node: ASTNode, blank: " " | "\n" = " "): string {
  const text = printed(node, blank);
  return isOperation(node) ? text.slice(1, -1) : text;
}

function printed(node: ASTNode, blank: string): string {
  const of = (part: ASTNode) => printed(part, blank);
  switch (node.op) {
    case ".":
      return `${of(node.args[0])}.${node.args[1]}`;
    case "[]":
      return `${of(node.args[0])}[${of(node.args[1])}]`;
    case "!_":
      return `!${of(node.args)}`;
    case "?:":
      return `(${of(node.args[0])}${blank}? ${of(node.args[1])}${blank}: ${of(node.args[2])})`;
    case "call":
      return `${node.args[0]}(${node.args[1].map(of).join(`,${blank}`)})`;
    case "rcall":
      return `${of(node.args[1])}.${node.args[0]}(${node.args[2].map(of).join(`,${blank}`)})`;
    case "list":
      return `[${node.args.map(of).join(`,${blank}`)}]`;
    case "-_":
      return `-${of(node.args)}`;
    case "value":
      return literal(node.args);
    case "id":
      return node.args;
    default: {
      const [left, right] = node.args as [ASTNode, ASTNode]; // binary, all that is left
      return `(${of(left)}${blank}${node.op} ${of(right)})`;
    }
  }
}

/** Not the library's own `serialize`: that rounds numbers to nine digits, and writes what its parser refuses above U+FFFF. */
function literal(value: unknown): string {
  if (typeof value === "string") {
    const escaped = value.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
    return `"${escaped}"`;
  }
  const text = String(value);
  return typeof value === "number" && /^\d+$/.test(text) ? `${text}.0` : text; // 1.0 is a double, 1 is none
}

const isOperation = ({ op }: ASTNode) => !["value", "id", ".", "[]", "!_", "-_", "call", "rcall", "list"].includes(op);
