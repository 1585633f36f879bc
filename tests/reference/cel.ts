import type { ASTNode } from "@marcbachmann/cel-js";

/** What an expression is worth: a value, or an error that the operators around it may absorb. */
export type CelResult = { readonly value: unknown } | "error";

type Variables = Readonly<Record<string, unknown>>;

const isTrue = (result: CelResult) => result !== "error" && result.value === true;
const isFalse = (result: CelResult) => result !== "error" && result.value === false;

/**
 * The Common Expression Language as its definition says it ("Logical Operators", "Equality", "Field Selection", "Macros" of
 * github.com/google/cel-spec doc/langdef.md), for the operators that policies offer. Slow and plain; only the tree comes from the parser.
 */
export function celReference(node: ASTNode, variables: Variables): CelResult {
  const of = (part: ASTNode) => celReference(part, variables);
  switch (node.op) {
    case "value":
      return { value: node.args };
    case "-_": {
      const operand = of(node.args);
      if (operand === "error") return "error";
      if (typeof operand.value === "bigint" || typeof operand.value === "number") return { value: -operand.value };
      return "error";
    }
    case "id":
      return Object.hasOwn(variables, node.args) ? { value: variables[node.args] } : "error";
    // "e1 || e2: true if either is true; if one is an error and the other is true the result is true; otherwise the error"
    case "||": {
      const [left, right] = node.args.map(of) as [CelResult, CelResult];
      if (isTrue(left) || isTrue(right)) return { value: true };
      return isFalse(left) && isFalse(right) ? { value: false } : "error";
    }
    case "&&": {
      const [left, right] = node.args.map(of) as [CelResult, CelResult];
      if (isFalse(left) || isFalse(right)) return { value: false };
      return isTrue(left) && isTrue(right) ? { value: true } : "error";
    }
    case "!_": {
      const operand = of(node.args);
      return isTrue(operand) ? { value: false } : isFalse(operand) ? { value: true } : "error";
    }
    // "e ? e1 : e2: evaluates only the branch that is chosen; an error in e is the result"
    case "?:": {
      const condition = of(node.args[0]);
      return isTrue(condition) ? of(node.args[1]) : isFalse(condition) ? of(node.args[2]) : "error";
    }
    case ".":
    case "[]": {
      const from = of(node.args[0]);
      const by = typeof node.args[1] === "string" ? { value: node.args[1] } : of(node.args[1]);
      return from === "error" || by === "error" ? "error" : selected(from.value, by.value);
    }
    case "list": {
      const parts = node.args.map(of);
      return parts.includes("error") ? "error" : { value: parts.map((part) => part !== "error" && part.value) };
    }
    case "call": {
      const [only] = node.args[1];
      if (only === undefined) return "error";
      if (node.args[0] === "has") return has(only, variables);
      const argument = of(only);
      return argument === "error" ? "error" : sizeOf(argument.value);
    }
    case "rcall":
      return method(node.args, variables);
    default: {
      const [left, right] = (node.args as [ASTNode, ASTNode]).map(of);
      if (left === undefined || right === undefined || left === "error" || right === "error") return "error";
      return compared(node.op, left.value, right.value);
    }
  }
}

/** "has(e.f): false if f is not set in the map e; an error if e is one" */
function has(node: ASTNode, variables: Variables): CelResult {
  if (node.op !== ".") return "error";
  const from = celReference(node.args[0], variables);
  if (from === "error") return "error";
  return { value: from.value instanceof Map && from.value.has(node.args[1]) };
}

function selected(from: unknown, by: unknown): CelResult {
  if (from instanceof Map && from.has(by)) return { value: from.get(by) };
  if (Array.isArray(from) && typeof by === "bigint" && by >= 0n && by < from.length) return { value: from[Number(by)] };
  return "error";
}

function sizeOf(value: unknown): CelResult {
  if (typeof value === "string") return { value: BigInt([...value].length) };
  if (Array.isArray(value)) return { value: BigInt(value.length) };
  return value instanceof Map ? { value: BigInt(value.size) } : "error";
}

function method([name, receiver, args]: readonly [string, ASTNode, ASTNode[]], variables: Variables): CelResult {
  const on = celReference(receiver, variables);
  if (on === "error") return "error";
  if (name === "size") return sizeOf(on.value);
  if (name === "exists" || name === "all" || name === "exists_one") return over(name, on.value, args, variables);
  const argument = args[0] === undefined ? "error" : celReference(args[0], variables);
  if (argument === "error" || typeof on.value !== "string" || typeof argument.value !== "string") return "error";
  if (name === "startsWith") return { value: on.value.startsWith(argument.value) };
  if (name === "endsWith") return { value: on.value.endsWith(argument.value) };
  return name === "contains" ? { value: on.value.includes(argument.value) } : "error";
}

/** "exists: || of the predicate over all elements; all: && of it; exists_one: an error of any is the result" */
function over(
  name: string,
  range: unknown,
  [variable, predicate]: readonly ASTNode[],
  variables: Variables,
): CelResult {
  if (variable?.op !== "id" || predicate === undefined || !Array.isArray(range)) return "error";
  const results = range.map((item) => celReference(predicate, { ...variables, [variable.args]: item }));
  const decides = name === "exists" ? isTrue : isFalse;
  if (name === "exists_one")
    return results.every((result) => isTrue(result) || isFalse(result))
      ? { value: results.filter(isTrue).length === 1 }
      : "error";
  if (results.some(decides)) return { value: name === "exists" };
  const rest = name === "exists" ? isFalse : isTrue;
  return results.every(rest) ? { value: name !== "exists" } : "error";
}

/** Numbers compare across their types; values of different types are unequal, and have no order. */
function compared(op: string, left: unknown, right: unknown): CelResult {
  if (op === "in") {
    if (right instanceof Map) return { value: right.has(left) };
    return Array.isArray(right) ? { value: right.some((item) => equal(left, item)) } : "error";
  }
  if (op === "==") return { value: equal(left, right) };
  if (op === "!=") return { value: !equal(left, right) };
  const numbers = isNumber(left) && isNumber(right);
  if (!numbers && !(typeof left === typeof right && (typeof left === "string" || typeof left === "boolean")))
    return "error";
  const [a, b] = [left as string, right as string]; // compared as what they are
  return { value: op === "<" ? a < b : op === "<=" ? a <= b : op === ">" ? a > b : a >= b };
}

const isNumber = (value: unknown) => typeof value === "number" || typeof value === "bigint";

function equal(left: unknown, right: unknown): boolean {
  if (isNumber(left) && isNumber(right)) return Number(left) === Number(right);
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((item, index) => equal(item, right[index]));
  return left === right;
}
