import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const tests = resolve(import.meta.dir, "..");
const aliased = /^#support\/(.+)$/;

/** Files of `tests` that `path` imports. */
function importsOf(path: string): string[] {
  const specifiers = readFileSync(path, "utf8").matchAll(/(?:\bfrom|\bimport\()\s*["']([^"'\n]+)["']/g);
  return [...specifiers].flatMap(([, specifier = ""]) => {
    const support = aliased.exec(specifier)?.[1];
    if (support !== undefined) return [join(tests, "support", `${support}.ts`)];
    const file = specifier.startsWith(".") ? resolve(dirname(path), specifier) : "";
    return file.startsWith(tests) && existsSync(file) ? [file] : [];
  });
}

/** Whether a test file starts processes, itself or through what it imports of `tests`. */
function startsProcesses(path: string): boolean {
  const seen = new Set([path]);
  for (const file of seen) {
    if (/\bBun\.spawn(Sync)?\(/.test(readFileSync(file, "utf8"))) return true;
    for (const imported of importsOf(file)) seen.add(imported);
  }
  return false;
}

test("every file whose tests start processes sets a time-out that a slow machine keeps: bare `bun test` gives 5 s", () => {
  const files = readdirSync(tests, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".test.ts"));
  const lacking = files.filter((file) => {
    const path = join(tests, file);
    return startsProcesses(path) && !/^setDefaultTimeout\(/m.test(readFileSync(path, "utf8"));
  });
  expect(lacking.map((file) => relative(".", file))).toEqual([]);
});
