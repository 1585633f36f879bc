import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

test("nobody calls transaction() of libSQL or drizzle: two that interleave freeze the thread and fail (DESIGN §6)", () => {
  const files = ["agent", "gateway", "control", "lib"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => /\.tsx?$/.test(path))
      .map((path) => join(folder, path)),
  );
  const calls = files.filter((path) => /\.transaction\s*[(<]/.test(readFileSync(join(root, path), "utf8")));
  expect(calls).toEqual([]);
});
