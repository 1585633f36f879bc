import {
  type ASTNode,
  TypeError as CelTypeError,
  Environment,
  EvaluationError,
  ParseError,
} from "@marcbachmann/cel-js";
import { Fault } from "#lib/fault";
import { policyCostMax, policyDepthMax, policyLengthMax, policyListMax, policyNodesMax } from "#lib/limits";
import { checkRule, type RuleProblem } from "./check-rule.ts";
import { type CelContext, policyRoots } from "./policy-input.ts";
import { type PolicyRule, policyRulesSchema } from "./policy-rules.ts";
import { printRule } from "./print-rule.ts";

/** What one rule says: anything but `true` allows nothing. */
export type RuleOutcome = { readonly value: unknown } | { readonly error: EvaluationError };

export interface CompiledRule {
  readonly name: string;
  readonly ast: ASTNode;
  evaluate(context: CelContext): RuleOutcome;
}

/** A policy whose rules were checked: evaluating it takes a bounded number of steps and never throws. */
export interface CompiledPolicy {
  readonly rules: readonly CompiledRule[];
  /** Steps of the worst case, at most `policyCostMax`. */
  readonly cost: number;
}

/**
 * Checks and compiles rules. Fault `invalid` whose detail names each rule that can't be (`rules.<index>.allow`), the character
 * where, and why: length, nesting, sizes, steps, what policies do not offer, unknown variables, a result that is no bool.
 */
export function compilePolicy(rules: readonly PolicyRule[]): CompiledPolicy {
  const wrong: Record<string, string> = {};
  const compiled: CompiledRule[] = [];
  let cost = 0;
  for (const [index, rule] of parsed(rules).entries()) {
    const one = compileRule(rule);
    if ("reason" in one) wrong[`rules.${index}.allow`] = `rule "${rule.name}", character ${one.at + 1}: ${one.reason}`;
    else {
      compiled.push(one.rule);
      cost += one.cost;
    }
  }
  if (cost > policyCostMax) wrong.rules = `all rules together may take ${cost} steps, of at most ${policyCostMax}`;
  if (Object.keys(wrong).length > 0) throw new Fault("invalid", Object.values(wrong)[0], { detail: wrong });
  return { rules: compiled, cost };
}

function parsed(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  const result = policyRulesSchema.safeParse(rules);
  if (!result.success) {
    const fields = result.error.issues.map(({ path, message }) => [["rules", ...path.map(String)].join("."), message]);
    throw new Fault("invalid", "rules that are none", { detail: Object.fromEntries(fields) });
  }
  const wrong: Record<string, string> = {};
  if (rules.reduce((sum, { allow }) => sum + allow.length, 0) > policyLengthMax)
    wrong.rules = `all rules together have at most ${policyLengthMax} characters`;
  for (const [index, { name }] of rules.entries())
    if (rules.findIndex((rule) => rule.name === name) !== index) wrong[`rules.${index}.name`] = "named twice";
  if (Object.keys(wrong).length > 0) throw new Fault("invalid", Object.values(wrong)[0], { detail: wrong });
  return result.data;
}

function compileRule({ name, allow }: PolicyRule): { rule: CompiledRule; cost: number } | RuleProblem {
  const parsing = parseRule(allow);
  if ("reason" in parsing) return parsing;
  const checked = checkRule(parsing.ast);
  if ("reason" in checked) return checked;
  const { valid, type, error } = parsing.check();
  if (!valid) return problemOf(error);
  if (type !== "bool") return { at: parsing.ast.start, reason: `is of type ${type}, not bool (write == true)` };
  const { ast, evaluate } = readyRule(parsing.ast);
  return { rule: { name, ast, evaluate }, cost: checked.cost };
}

/**
 * A checked tree as it is evaluated: read again from a text of short lines. The library puts the line into every error that it
 * makes, the absorbed ones too: over one line of 8 KiB a missing attribute took 190 µs, over short ones 10.
 */
export function readyRule(checked: ASTNode): Pick<CompiledRule, "ast" | "evaluate"> {
  const run = parseRule(printRule(checked, "\n"), policyNodesMax * 2);
  if ("reason" in run) throw new TypeError(`a rule that was checked can't be read again: ${run.reason}`);
  return { ast: run.ast, evaluate: evaluatorOf(run) };
}

type Parsed = ReturnType<Environment["parse"]>;

/** Each rule has an environment of its own: nothing is shared between policies. */
function parseRule(allow: string, depthMax = policyDepthMax): Parsed | RuleProblem {
  const environment = new Environment({
    limits: {
      maxAstNodes: policyNodesMax,
      maxDepth: depthMax,
      maxListElements: policyListMax,
      maxMapEntries: 0,
      maxCallArguments: 4,
    },
  });
  for (const root of Object.keys(policyRoots)) environment.registerVariable(root, "map<string, dyn>");
  try {
    return environment.parse(allow);
  } catch (error) {
    return problemOf(error);
  }
}

function evaluatorOf(run: Parsed): CompiledRule["evaluate"] {
  return (context) => {
    try {
      return { value: run(context) as unknown };
    } catch (error) {
      // Whatever it is, nothing is allowed by it.
      return { error: error instanceof EvaluationError ? error : new EvaluationError(String(error)) };
    }
  };
}

function problemOf(error: unknown): RuleProblem {
  if (!(error instanceof ParseError || error instanceof CelTypeError)) throw error;
  return { at: error.range?.start ?? 0, reason: error.summary };
}
