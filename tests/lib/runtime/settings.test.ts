import { expect, test } from "bun:test";
import { Fault } from "#lib/fault";
import { readSettings, settingsText, type Variable } from "#lib/runtime";

const variables = [
  { name: "X_LISTEN", text: "where", fallback: "[::1]:80" },
  { name: "X_PASSWORD", text: "secret" },
  { name: "X_PASSWORD_FILE", text: "file of the secret" },
  { name: "X_RANGES", text: "ranges", fallback: "" },
  { name: "X_COUNT", text: "count" },
] as const satisfies readonly Variable[];

const read = (environment: Record<string, string>) =>
  readSettings({
    variables,
    prefix: "X_",
    environment,
    readText: (path) => {
      if (path === "missing") throw new RangeError("secret path");
      return `first of ${path} \r\nsecond`;
    },
  });

function refusal(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
  }
  throw new RangeError("it was taken");
}

test("settings are read with their fallbacks; empty means not set", () => {
  const settings = read({ X_PASSWORD: " ", X_PASSWORD_FILE: "f", X_RANGES: "a, ,b", Y_OTHER: "theirs" });
  expect(settings.listen("X_LISTEN")).toEqual({ host: "::1", port: 80 });
  expect(settings.secret("X_PASSWORD", "X_PASSWORD_FILE")).toBe("first of f");
  expect(settings.list("X_RANGES")).toEqual(["a", "b"]);
  expect(read({}).list("X_RANGES")).toEqual([]);
  expect(read({}).optional("X_COUNT")).toBeUndefined();
});

test("a mistake is a Fault that names its variable, never the value", () => {
  for (const [name, value, work] of [
    ["X_COUNTT", "marker", () => read({ X_COUNTT: "marker" })],
    ["X_COUNT", "marker", () => read({ X_COUNT: "marker" }).integer("X_COUNT", 0, 9)],
    ["X_COUNT", "10", () => read({ X_COUNT: "10" }).integer("X_COUNT", 0, 9)],
    ["X_COUNT", "marker", () => read({ X_COUNT: "marker" }).flag("X_COUNT")],
    ["X_COUNT", "marker", () => read({}).required("X_COUNT")],
    ["X_LISTEN", "marker:99999", () => read({ X_LISTEN: "marker:99999" }).listen("X_LISTEN")],
    ["X_PASSWORD_FILE", "missing", () => read({ X_PASSWORD_FILE: "missing" }).secret("X_PASSWORD", "X_PASSWORD_FILE")],
    ["X_COUNT", "f", () => read({ X_PASSWORD_FILE: "f" }).tls("X_PASSWORD_FILE", "X_COUNT")],
  ] as const) {
    const fault = refusal(work);
    expect([fault.code, fault.detail.variable]).toEqual(["config", name]);
    expect(fault.message.replace(name, "")).not.toContain(value === "f" || value === "10" ? "marker" : value);
  }
});

test("the table for --help holds every variable and what counts without it", () => {
  const text = settingsText(variables);
  for (const { name } of variables) expect(text).toContain(name);
  expect(text).toContain("[[::1]:80]");
  expect(text.split("\n")).toHaveLength(variables.length);
});
