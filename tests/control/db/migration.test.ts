import { expect, setDefaultTimeout, test } from "bun:test";
import { join, resolve } from "node:path";
import initial from "../../../migrations/solaris/0000_initial.sql" with { type: "text" };

setDefaultTimeout(30_000);

const root = resolve(import.meta.dir, "../../..");

test("the first migration is what the slices' tables say (bun run migrate)", async () => {
  const command = [
    process.execPath,
    "x",
    "--bun",
    "drizzle-kit",
    "export",
    "--dialect=sqlite",
    "--schema=./control/*/tables.ts",
  ];
  const child = Bun.spawn(command, {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH ?? ""}` },
  });
  const [text, problems] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(await child.exited, problems).toBe(0);
  expect(text).toBe(initial);
}, 30_000);
