import { expect, setDefaultTimeout, test } from "bun:test";
import { cp, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type BuildTarget, compileProgram, hostFacts } from "#lib/runtime";
import { temporaryFolder } from "../../support/temporary-folder.ts";

setDefaultTimeout(30_000);

test("a compiled program has libSQL and the database thread inside: it opens its store from an empty folder", async () => {
  await using folder = await temporaryFolder();
  const program = folder.file("program");
  await compileProgram({
    entry: resolve(import.meta.dir, "../../support/compiled-database.ts"),
    outfile: program,
    target: hostFacts().platform.replace("win32", "windows") as BuildTarget, // the tests run on a platform that we build for
  });
  await using empty = await temporaryFolder();
  await cp(program, join(empty.path, "program"));
  const child = Bun.spawn([join(empty.path, "program"), join(empty.path, "x.db")], { cwd: empty.path, env: {} });
  expect(await new Response(child.stdout).text()).toBe('[{"id":"kept"}]\ndatabase_key\n');
  expect(await child.exited).toBe(0);
  expect((await readdir(empty.path)).includes("x.db")).toBe(true);
}, 60_000);
