import { expect, test } from "bun:test";
import { namePattern } from "../../../agent/plugins/file/name-pattern.ts";

const cases: [string, string, boolean][] = [
  ["*", "a", true],
  ["*", "", true],
  ["*", ".hidden", false],
  [".*", ".hidden", true],
  ["*.csv", "a.csv", true],
  ["*.csv", "a.csv.tmp", false],
  ["*.csv", ".csv", false],
  ["a?c", "abc", true],
  ["a?c", "ac", false],
  ["a*b*c", "a-b-b-c", true],
  ["a*b*c", "a-c", false],
  ["ab*ba", "aba", false],
  ["a*a", "a", false],
  ["**x**", "axb", true],
  ["[a-z].(x)+", "[a-z].(x)+", true],
  ["[a-z]", "b", false],
  ["*ab*ab", "ab", false],
  ["?*?", "ab", true],
  ["?*?", "a", false],
];
test.each(cases)("pattern %s, name %s: %p", (pattern, name, matches) => {
  expect(namePattern(pattern)(name)).toBe(matches);
});

test("a pattern made to backtrack does not", () => {
  const began = performance.now();
  expect(namePattern(`${"a*".repeat(90)}b`)("a".repeat(255))).toBe(false);
  expect(performance.now() - began).toBeLessThan(50);
});
