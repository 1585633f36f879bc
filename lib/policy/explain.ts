import type { ASTNode, EvaluationError } from "@marcbachmann/cel-js";
import { attributePathsOf, pathOf } from "./attribute-paths.ts";
import { type CompiledPolicy, type CompiledRule, type RuleOutcome, readyRule } from "./compile-policy.ts";
import { type DecidedBy, decide } from "./decide.ts";
import { type CelContext, celContext, type PolicyInput } from "./policy-input.ts";
import { printRule } from "./print-rule.ts";

/** One part of a rule, all of which must hold. */
export interface ConjunctExplanation {
  /** The part, as CEL. */
  readonly text: string;
  /** `error`: an attribute is missing, or of another type than what it is compared with. */
  readonly outcome: "true" | "false" | "error";
  readonly reason: string | undefined;
  /** The attribute that decided: the missing one, else the subject's own before others. */
  readonly attribute: string | undefined;
  /** What it read, by path; null = missing. */
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface RuleExplanation {
  readonly name: string;
  readonly allows: boolean;
  readonly conjuncts: readonly ConjunctExplanation[];
}

/** A decision taken apart, for a person. `rule`: the one that allowed; denied: the one of which most parts held. */
export interface PolicyExplanation {
  readonly allowed: boolean;
  readonly by: DecidedBy;
  readonly reason: string | undefined;
  readonly rule: string | undefined;
  /** The part of it that decided: denied, the first that did not hold; allowed, the last. */
  readonly conjunct: string | undefined;
  readonly attribute: string | undefined;
  readonly rules: readonly RuleExplanation[];
}

/** What `decide` decides, and why. Slower: not for every stream. */
export function explain(policy: CompiledPolicy | undefined, input: PolicyInput): PolicyExplanation {
  const decision = decide(policy, input);
  const { allowed, by } = decision;
  const reason = decision.allowed ? undefined : decision.reason;
  if (by !== "policy" || policy === undefined) {
    const attribute = by === "isolation" ? "subject.customer_id" : "subject.identifier";
    return { allowed, by, reason, rule: undefined, conjunct: undefined, attribute, rules: [] };
  }
  const context = celContext(input);
  const rules = policy.rules.map((rule) => explainRule(rule, context));
  const nearest = rules.toSorted((a, b) => share(b) - share(a))[0];
  const rule = allowed ? rules.find(({ allows }) => allows) : nearest;
  const conjunct = allowed
    ? rule?.conjuncts.at(-1)
    : (rule?.conjuncts.find(({ outcome }) => outcome !== "true") ?? rule?.conjuncts.at(-1));
  return { allowed, by, reason, rule: rule?.name, conjunct: conjunct?.text, attribute: conjunct?.attribute, rules };
}

const share = ({ conjuncts }: RuleExplanation) =>
  conjuncts.filter(({ outcome }) => outcome === "true").length / conjuncts.length;

function explainRule({ name, ast, evaluate }: CompiledRule, context: CelContext): RuleExplanation {
  const outcome = evaluate(context);
  return {
    name,
    allows: "value" in outcome && outcome.value === true,
    conjuncts: conjunctsOf(ast).map((part) => explainConjunct(part, context)),
  };
}

const conjunctsOf = (node: ASTNode): ASTNode[] => (node.op === "&&" ? node.args.flatMap(conjunctsOf) : [node]);

function explainConjunct(node: ASTNode, context: CelContext): ConjunctExplanation {
  const outcome = outcomeOf(node, context);
  const paths = attributePathsOf(node);
  return {
    text: printRule(node),
    outcome: "error" in outcome ? "error" : outcome.value === true ? "true" : "false",
    reason: "error" in outcome ? outcome.error.summary : undefined,
    attribute: decisiveAttribute(node, outcome, context),
    attributes: Object.fromEntries(paths.map((path) => [path, valueAt(context, path)])),
  };
}

/** Goes down to the part that makes the whole what it is, as far as there is one. */
function decisiveAttribute(node: ASTNode, outcome: RuleOutcome, context: CelContext): string | undefined {
  if ("error" in outcome) return missingPath(outcome.error) ?? ownFirst(attributePathsOf(node));
  if (node.op === "!_") return decisiveAttribute(node.args, outcomeOf(node.args, context), context);
  const decides = node.op === "||" ? true : node.op === "&&" ? false : undefined;
  if (outcome.value === decides && (node.op === "||" || node.op === "&&"))
    for (const part of node.args) {
      const one = outcomeOf(part, context);
      if ("value" in one && one.value === decides) return decisiveAttribute(part, one, context);
    }
  return ownFirst(attributePathsOf(node));
}

const ownFirst = (paths: readonly string[]) => paths.find((path) => path.startsWith("subject.")) ?? paths[0];

function missingPath({ code, node }: EvaluationError): string | undefined {
  if (code !== "no_such_key" || node === undefined) return undefined;
  return pathOf(node)?.join(".");
}

/** A part by itself. */
const outcomeOf = (node: ASTNode, context: CelContext): RuleOutcome => readyRule(node).evaluate(context);

/** As JSON can carry it; null where there is nothing. */
function valueAt(context: CelContext, path: string): unknown {
  let value: unknown = new Map<string, unknown>(Object.entries(context));
  for (const name of path.split(".")) {
    if (value instanceof Map) value = value.get(name);
    else if (Array.isArray(value)) value = value[Number(name)];
    else value = undefined;
  }
  if (typeof value === "bigint") return Number(value);
  return value instanceof Date ? value.toISOString() : (value ?? null);
}
