import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { needs } from "../support/needs.ts";
import { postgresFolder } from "../support/postgres.ts";

const timeoutMs = 120_000;
setDefaultTimeout(timeoutMs);

const root = resolve(import.meta.dir, "../..");

/** Lines that the demo printed, when they came, and what it said at its end. */
async function demo(...words: string[]): Promise<{ code: number; output: string; firstMs: number; totalMs: number }> {
  const beganMs = performance.now();
  const child = Bun.spawn([process.execPath, "tests/demo/portal/main.ts", ...words], {
    cwd: root,
    stdout: "pipe",
    stderr: "inherit",
  });
  let [output, firstMs] = ["", Number.POSITIVE_INFINITY];
  for await (const chunk of child.stdout) {
    firstMs = Math.min(firstMs, performance.now() - beganMs);
    output += Buffer.from(chunk).toString();
  }
  return { code: await child.exited, output, firstMs, totalMs: performance.now() - beganMs };
}

/** Every check held, and what the demo must show was checked at all. */
async function shows(what: RegExp, ...words: string[]): Promise<void> {
  const { code, output, firstMs, totalMs } = await demo("--once", ...words);
  const summary = JSON.parse(output.trimEnd().split("\n").at(-1) ?? ""); // its last line, whose shape is expected here
  expect(summary.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
  expect(summary.checks.length).toBe(process.platform === "linux" ? 10 : 8);
  expect({ code, ok: summary.ok }).toEqual({ code: 0, ok: true });
  expect(output).toMatch(what);
  expect(firstMs).toBeLessThan(5_000);
  expect(totalMs).toBeLessThan(90_000);
  const pids = [...output.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) expect(ourProgram(pid)).toBe(false);
}

/** Whether a process of this id is one of the programs: an id may have another owner by now. */
function ourProgram(pid: number): boolean {
  const path = `/proc/${pid}/cmdline`;
  return existsSync(path) && readFileSync(path, "utf8").includes(join(root, "control/main.ts"));
}

test("the portal demo with an HTTP server as the service: every check holds", () => shows(/HTTP server/, "--http"));

needs(
  "postgres",
  "apt-get install postgresql",
  postgresFolder() !== undefined,
)("the portal demo", () => {
  test("with PostgreSQL: every check holds", () => shows(/PostgreSQL \d+/));
});
