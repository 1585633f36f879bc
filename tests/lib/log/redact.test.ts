import { expect, test } from "bun:test";
import { redact } from "#lib/log";

test("what has the form of a secret is not shown", () => {
  const part = "abcdefghijklmnopqrstuvwxyz";
  for (const secret of [
    `Mercury ${part}`,
    `Mercury ${part}.${part}.${part}`,
    `authorization: mercury ${part}`,
    "Basic dXNlcjpwYXNz",
    `bearer ${part}`,
    `${part}.${part}.${part}`,
    `mercury_${part}`,
    "https://user:password@proxy:3128",
  ]) {
    const shown = String(redact(`before ${secret} after`));
    expect(shown).toContain("‹redacted›");
    expect(shown).not.toContain(part);
    expect(shown).not.toContain("password@");
    expect(shown.startsWith("before ")).toBe(true);
    expect(shown.endsWith(" after")).toBe(true);
  }
  expect(redact({ password: "x", token: "y", plugin: "erp" })).toEqual({
    password: "‹redacted›",
    token: "‹redacted›",
    plugin: "erp",
  });
});

test("what a person is told to do stays readable", () => {
  for (const text of [
    "ask for a new token, then `mercury leave --yes` and mercury enroll",
    "mercury identity rotate",
    "see https://gateway.example.com/tunnel",
  ])
    expect(redact(text)).toBe(text);
});
