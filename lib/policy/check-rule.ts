import type { ASTNode } from "@marcbachmann/cel-js";
import { attributesMax, policyCostMax } from "#lib/limits";
import { holdsAttributes, pathOf } from "./attribute-paths.ts";
import { policyRoots } from "./policy-input.ts";

/** Why a rule is refused, and where in its text (characters from its beginning). */
export interface RuleProblem {
  readonly at: number;
  readonly reason: string;
}

/** Steps that the slowest case of one selection takes (a missing attribute is an error that is made and absorbed). */
const selectionSteps = 4;
/** Steps of comparing two values of which neither stands in the rule: lists of `attributesMax` texts at worst. */
const comparisonSteps = 16;

/** Methods with the number of their arguments. No `matches`: it can be made to run for seconds (FACTS). */
const methods = new Map([
  ["startsWith", 1],
  ["endsWith", 1],
  ["contains", 1],
  ["size", 0],
]);
const comprehensions = new Set(["exists", "all", "exists_one"]);
const comparisons = new Set(["==", "!=", "<", "<=", ">", ">="]);

class Refused extends Error {
  readonly problem: RuleProblem;

  constructor(node: ASTNode, reason: string) {
    super(reason);
    this.problem = { at: node.start, reason };
  }
}

/**
 * Judges the syntax tree of a rule by what policies may use, which is what can be given a bound: no arithmetic, no conversion, no
 * regular expression, nothing that makes a longer text or list. Answers the steps of the worst case, or the first problem.
 */
export function checkRule(ast: ASTNode): { readonly cost: number } | RuleProblem {
  try {
    const cost = costOf(ast, undefined);
    if (cost > policyCostMax) return { at: ast.start, reason: `may take ${cost} steps, of at most ${policyCostMax}` };
    return { cost };
  } catch (error) {
    if (error instanceof Refused) return error.problem;
    throw error;
  }
}

/** `item`: the variable of the comprehension that the node stands in. */
function costOf(node: ASTNode, item: string | undefined): number {
  switch (node.op) {
    case "value":
      return literalCost(node);
    case "id":
      if (node.args === item) return 1;
      throw new Refused(node, isRoot(node.args) ? `select from ${node.args}` : `unknown variable ${node.args}`);
    case ".":
    case "[]":
      return selectionCost(node, item);
    case "!_":
      return 1 + costOf(node.args, item);
    case "-_":
      if (!isNumber(node.args)) throw new Refused(node, "- is offered before a number only");
      return 1;
    case "||":
    case "&&":
      return 1 + costOf(node.args[0], item) + costOf(node.args[1], item);
    case "?:":
      return 1 + node.args.reduce((sum, part) => sum + costOf(part, item), 0);
    case "list":
      return node.args.reduce((sum, part) => {
        if (part.op !== "value" && part.op !== "-_") throw new Refused(part, "a list holds literals only");
        return sum + costOf(part, item);
      }, 1);
    case "in":
      return membershipCost(node.args, item);
    case "call":
      return callCost(node, node.args, item);
    case "rcall":
      return methodCost(node, node.args, item);
    default:
      if (comparisons.has(node.op)) return comparisonCost(node.args as [ASTNode, ASTNode], item); // binary, all of them
      throw new Refused(node, `${node.op.replaceAll("_", "")} is not offered in policies`);
  }
}

function literalCost(node: ASTNode): number {
  const known = ["string", "boolean", "number", "bigint"].includes(typeof node.args) || node.args === null;
  if (!known) throw new Refused(node, "this kind of literal is not offered in policies");
  return 1;
}

function selectionCost(node: ASTNode, item: string | undefined): number {
  const path = pathOf(node);
  if (path === undefined) throw new Refused(node, "select by a name, from subject, resource or request");
  const [root, ...names] = path;
  if (root === item) throw new Refused(node, `${root} is an element of a list of texts: it has nothing to select`);
  if (!isRoot(root)) throw new Refused(node, `unknown variable ${root}`);
  demandKnown(node, root, names);
  return selectionSteps * names.length;
}

/** A name that can never be there is a slip of the pen: told when the policy is saved. */
function demandKnown(node: ASTNode, root: keyof typeof policyRoots, names: readonly string[]): void {
  let known: unknown = policyRoots[root];
  let path: string = root;
  for (const name of names) {
    if (known === "any") known = "value";
    else {
      if (known === "value") break; // of a list: its index
      const under = known as Readonly<Record<string, unknown>>; // neither word: a table of names
      if (!Object.hasOwn(under, name)) throw new Refused(node, `${path} has no ${name}`);
      known = under[name];
    }
    path = `${path}.${name}`;
  }
  if (known !== "value") throw new Refused(node, `select from ${path}`);
}

function membershipCost([left, right]: readonly [ASTNode, ASTNode], item: string | undefined): number {
  const path = pathOf(right);
  // `"x" in subject` and `"x" in resource.node` ask for an attribute's name.
  const names = path !== undefined && holdsAttributes(path);
  return 1 + comparisonSteps + costOf(left, item) + (names ? selectionSteps : costOf(right, item));
}

function comparisonCost([left, right]: readonly [ASTNode, ASTNode], item: string | undefined): number {
  // With a literal, or with a text of the list that is gone over.
  const short = [left.op, right.op].some((op) => op === "value" || op === "-_" || op === "id");
  return 1 + (short ? 0 : comparisonSteps) + costOf(left, item) + costOf(right, item);
}

function callCost(node: ASTNode, [name, args]: readonly [string, ASTNode[]], item: string | undefined): number {
  const [only] = args;
  if (only === undefined || args.length !== 1) throw new Refused(node, `${name} takes one argument`);
  if (name === "has") {
    if (only.op !== ".") throw new Refused(only, "has takes a selection, as has(subject.tier)");
    return 1 + costOf(only, item);
  }
  if (name === "size") return 1 + comparisonSteps + costOf(only, item);
  if (name === "timestamp") {
    const literal = only.op === "value" && typeof only.args === "string" ? only.args : "";
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(literal) || Number.isNaN(Date.parse(literal)))
      throw new Refused(only, 'timestamp takes a time as it is written in "2030-01-31T08:00:00Z"');
    return 2;
  }
  throw new Refused(node, `${name} is not offered in policies`);
}

function methodCost(
  node: ASTNode,
  [name, receiver, args]: readonly [string, ASTNode, ASTNode[]],
  item: string | undefined,
): number {
  if (comprehensions.has(name)) return comprehensionCost(node, receiver, args, item);
  const expected = methods.get(name);
  if (expected === undefined) throw new Refused(node, `${name} is not offered in policies`);
  if (args.length !== expected) throw new Refused(node, `${name} takes ${expected} arguments`);
  return [receiver, ...args].reduce((sum, part) => sum + costOf(part, item), 1 + comparisonSteps);
}

function comprehensionCost(node: ASTNode, receiver: ASTNode, args: readonly ASTNode[], item: string | undefined) {
  const [variable, predicate] = args;
  if (item !== undefined) throw new Refused(node, "one comprehension in another is not offered in policies");
  if (variable?.op !== "id" || predicate === undefined || args.length !== 2)
    throw new Refused(node, "takes a variable and what must hold for it");
  if (isRoot(variable.args)) throw new Refused(variable, `${variable.args} is taken`);
  if (receiver.op !== "list" && pathOf(receiver) === undefined)
    throw new Refused(receiver, "goes over an attribute or a list");
  const elements = receiver.op === "list" ? receiver.args.length : attributesMax;
  return 1 + costOf(receiver, undefined) + elements * (1 + costOf(predicate, variable.args));
}

const isNumber = ({ op, args }: ASTNode) => op === "value" && ["number", "bigint"].includes(typeof args);

const isRoot = (name: string | undefined): name is keyof typeof policyRoots =>
  name !== undefined && Object.hasOwn(policyRoots, name);
