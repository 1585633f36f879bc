import { describe, expect, test } from "bun:test";
import { Environment } from "@marcbachmann/cel-js";
import fc from "fast-check";
import { compilePolicy, decide } from "#lib/policy";
import { celContext } from "../../../lib/policy/policy-input.ts";
import { celReference } from "../../reference/cel.ts";
import { identifierOf, inputOf } from "./policy-inputs.ts";

const allows = (allow: string, input = inputOf({ tier: "gold", vip: true, capabilities: ["a", "b"], limit: 600 })) =>
  decide(compilePolicy([{ name: "rule", allow }]), input).allowed;

/** Expressions that are true, false, and an error: what reads an attribute that is not there. */
const T = 'subject.tier == "gold"';
const F = 'subject.tier == "tin"';
const E = 'subject.missing == "x"';

describe("a missing attribute", () => {
  test.each([
    // || and && absorb an error where the other side decides, on either side
    [`${E} || ${T}`, true],
    [`${T} || ${E}`, true],
    [`${E} || ${F}`, false],
    [`${F} || ${E}`, false],
    [`${E} || ${E}`, false],
    [`${E} && ${F}`, false],
    [`${F} && ${E}`, false],
    [`${E} && ${T}`, false],
    [`${T} && ${E}`, false],
    // what was absorbed is a value again; what was not stays an error under a negation
    [`!(${E} && ${F})`, true],
    [`!(${F} && ${E})`, true],
    [`!(${E} && ${T})`, false],
    [`!(${T} && ${E})`, false],
    [`!(${E} || ${T})`, false],
    [`!(${E} || ${F})`, false],
    [`!(${E})`, false],
    [`!!(${E})`, false],
    ['subject.missing != "x"', false],
    ['!(subject.missing == "x")', false],
    ['!(subject.missing != "x")', false],
    ["!subject.missing", false],
    ["subject.missing == subject.missing", false],
    ["subject.missing == null", false],
    ["subject.missing != null", false],
    ["subject.missing < 5", false],
    ["!(subject.missing < 5)", false],
    ['subject.missing in ["x"]', false],
    ['!(subject.missing in ["x"])', false],
    ['"x" in subject.missing', false],
    ['!("x" in subject.missing)', false],
    ['subject.missing.startsWith("x")', false],
    ['!subject.missing.startsWith("x")', false],
    ["size(subject.missing) == 0", false],
    ["size(subject.missing) != 1", false],
    [`${E} ? true : true`, false],
    [`${T} ? true : ${E}`, true],
    [`${F} ? ${E} : true`, true],
    // has() and `in` ask for it
    ["has(subject.missing)", false],
    ["!has(subject.missing)", true],
    ["has(subject.tier)", true],
    ['"missing" in subject', false],
    ['!("missing" in subject)', true],
    ['"tier" in subject', true],
    [`has(subject.missing) && ${E}`, false],
    [`!has(subject.missing) || ${E}`, true],
    // over a list
    ["subject.missing.exists(c, true)", false],
    ["subject.missing.all(c, true)", false],
    ["!subject.missing.exists(c, true)", false],
    ['subject.capabilities.exists(c, c == "b" || subject.missing == c)', true],
    ["subject.capabilities.exists(c, subject.missing == c)", false],
    ["!subject.capabilities.exists(c, subject.missing == c)", false],
    ['subject.capabilities.all(c, c == "a" && subject.missing == c)', false],
    ['!subject.capabilities.all(c, c == "a" && subject.missing == c)', true],
    ["subject.capabilities[7] == 'a'", false],
    ["resource.node.missing == 'a'", false],
    ["request.method != 'GET'", false],
  ])("%s: %p", (allow, expected) => expect(allows(allow)).toBe(expected));
});

describe("a rule", () => {
  test.each([
    ["subject.vip == true", true],
    ["!subject.vip", false],
    ["subject.tier == 5", false],
    ["subject.tier < 5", false],
    ["!(subject.tier < 5)", false],
    ["subject.tier && true", false],
    ["subject.tier || true", true],
    ["subject.vip", undefined],
    ['"b" in subject.capabilities', true],
    ['subject.capabilities == ["a", "b"]', true],
    ["subject.capabilities.exists_one(c, c == 'a')", true],
    ["subject.limit >= 600 && subject.limit == 600.0 && subject.limit in [600]", true],
    ["subject.limit < 600", false],
    ['subject["tier"] == "gold"', true],
    ["resource.target.port == 5432 && resource.target.host.endsWith('.internal')", true],
    ["subject.customer_id == resource.customer_id && resource.node.role == subject.role", true],
    ['resource.portal == "prt_1" && resource.name == "db" && resource.kind == "tcp"', true],
    ['request.action == "open" && request.protocol == "tcp"', true],
    ['request.time < timestamp("2026-06-01T00:00:00Z")', true],
    ['request.time < timestamp("2025-06-01T00:00:00Z")', false],
  ])("%s: %p", (allow, expected) => {
    if (expected === undefined) expect(() => allows(allow)).toThrow();
    else expect(allows(allow)).toBe(expected);
  });

  test("allows or does nothing: the first that allows is named, and none of none denies", () => {
    const policy = compilePolicy([
      { name: "errs", allow: E },
      { name: "no", allow: F },
      { name: "yes", allow: T },
      { name: "yes too", allow: T },
    ]);
    expect(decide(policy, inputOf({ tier: "gold" }))).toEqual({ allowed: true, by: "policy", rule: "yes" });
    expect(decide(policy, inputOf({ tier: "tin" }))).toMatchObject({ allowed: true, rule: "no" });
    expect(decide(policy, inputOf({}))).toMatchObject({ allowed: false, by: "policy" });
    expect(decide(compilePolicy([]), inputOf({ tier: "gold" })).allowed).toBe(false);
  });

  test("compares with what is written, whatever that is", () => {
    for (const text of ["\u00e4\u{1f600}", 'a"b', "a'b\\", "\n\r\t", "\u2028\u0007", "#{x}"])
      expect(allows(`subject.odd == ${JSON.stringify(text)}`, inputOf({ odd: text }))).toBe(true);
    for (const number of [1e-10, 0.1234567890123, 1e21, 5e-324, -1.5, -7, 2 ** 53 - 1, 0])
      expect(allows(`subject.odd == ${number} && subject.odd != 3.25`, inputOf({ odd: number }))).toBe(true);
    expect(allows(`subject.odd == r"\\d" || subject.odd == """x\ny"""`, inputOf({ odd: "x\ny" }))).toBe(true);
    expect(allows("subject.odd < -1 && subject.odd in [-2, -3]", inputOf({ odd: -2 }))).toBe(true);
  });

  test("decides as the language's definition does", () => {
    const attribute = fc.constantFrom("tier", "vip", "limit", "capabilities", "missing", "constructor");
    const literal = fc.constantFrom('"gold"', '"a"', "true", "600", "1.5", "null", "-3", "600.0", "0.12345678901234");
    const selection = attribute.map((name) => `subject.${name}`);
    const operand = fc.oneof(selection, literal);
    const atom = fc.oneof(
      fc.tuple(operand, fc.constantFrom("==", "!=", "<", "<=", ">", ">="), operand).map((part) => part.join(" ")),
      fc.tuple(operand, selection).map(([a, b]) => `${a} in ${b}`),
      attribute.map((name) => `has(subject.${name})`),
      attribute.map((name) => `subject.${name}.startsWith("go")`),
      attribute.map((name) => `size(subject.${name}) == 2`),
      fc
        .tuple(attribute, fc.constantFrom("exists", "all", "exists_one"), operand)
        .map(([name, macro, with_]) => `subject.${name}.${macro}(c, c == ${with_} || c == subject.missing)`),
    );
    const { expression } = fc.letrec((tie) => ({
      expression: fc.oneof(
        { depthSize: "small" },
        atom,
        fc
          .tuple(tie("expression"), fc.constantFrom("||", "&&"), tie("expression"))
          .map(([a, op, b]) => `(${a} ${op} ${b})`),
        tie("expression").map((inner) => `!(${inner})`),
        fc.tuple(tie("expression"), tie("expression"), tie("expression")).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
      ),
    }));
    const input = inputOf({ tier: "gold", vip: true, limit: 600, capabilities: ["a", "b"], constructor: "a" });
    const context = celContext(input);
    const parser = new Environment({ unlistedVariablesAreDyn: true });
    let compared = 0;
    fc.assert(
      fc.property(expression, (text) => {
        const source = String(text);
        let policy: ReturnType<typeof compilePolicy>;
        try {
          policy = compilePolicy([{ name: "rule", allow: source }]);
        } catch {
          return; // a type that is seen to be wrong when it is saved
        }
        compared++;
        const expected = celReference(parser.parse(source).ast, context);
        expect(decide(policy, input).allowed, source).toBe(expected !== "error" && expected.value === true);
      }),
      { numRuns: 2_000 },
    );
    expect(compared).toBeGreaterThan(500);
  });
});

describe("customer isolation", () => {
  const all = compilePolicy([{ name: "all", allow: "true" }]);

  test("comes before any policy, and before the nodes that a portal names", () => {
    expect(decide(all, inputOf()).allowed).toBe(true);
    for (const customer_id of ["cus_2", "", "CUS_1"])
      expect(decide(all, inputOf({ customer_id }))).toMatchObject({ allowed: false, by: "isolation" });
    const nobody = inputOf({}, { resource: { customerId: "" } });
    expect(decide(all, nobody).allowed).toBe(false);
    expect(decide(all, inputOf({ customer_id: "" }, { resource: { customerId: "" } })).allowed).toBe(false);
    const { customer_id: _none, ...attributes } = inputOf().subject.attributes;
    const without = { ...inputOf(), subject: { identifier: identifierOf("a"), attributes } };
    expect(decide(all, without)).toMatchObject({ allowed: false, by: "isolation" });
    expect(decide(all, inputOf({ customer_id: ["cus_1"] })).allowed).toBe(false);
    const named = { nodes: [identifierOf("a")] };
    expect(decide(undefined, inputOf({}, { resource: named }))).toEqual({ allowed: true, by: "nodes" });
    expect(decide(undefined, inputOf({ customer_id: "cus_2" }, { resource: named })).allowed).toBe(false);
    expect(decide(undefined, inputOf())).toMatchObject({ allowed: false, by: "nodes" });
  });
});

test("no attribute takes the place of what is none", () => {
  const mine = compilePolicy([{ name: "me", allow: `subject.identifier == "${identifierOf("c")}"` }]);
  expect(decide(mine, inputOf({ identifier: identifierOf("c") })).allowed).toBe(false);
  const forged = inputOf({}, { node: { identifier: identifierOf("c") } });
  const its = compilePolicy([{ name: "its", allow: `resource.node.identifier == "${identifierOf("c")}"` }]);
  expect(decide(its, forged).allowed).toBe(false);
  // Names of JavaScript's own are attributes like any other, and missing when they are.
  const odd = compilePolicy([{ name: "odd", allow: 'subject.constructor == "x" || has(subject.toString)' }]);
  expect(decide(odd, inputOf()).allowed).toBe(false);
  expect(decide(odd, inputOf({ constructor: "x" })).allowed).toBe(true);
  expect(decide(odd, inputOf({ toString: "x" })).allowed).toBe(true);
});
