import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Program } from "../support/program.ts";

setDefaultTimeout(30_000);

const root = resolve(import.meta.dir, "../..");
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "solaris-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** `solaris …` as a real process over the test's folder. */
function solaris(args: readonly string[], environment: Record<string, string> = {}): Program {
  return new Program({
    name: "solaris",
    command: [process.execPath, join(root, "control/main.ts"), ...args],
    environment: {
      SOLARIS_DATA: join(folder, "data"),
      SOLARIS_LISTEN: "127.0.0.1:0",
      SOLARIS_GATEWAY_LISTEN: "127.0.0.1:0",
      ...environment,
    },
    directory: root,
    logFile: join(folder, "log"),
  });
}

/** Runs to its end; exit code and output. */
async function run(args: readonly string[], environment: Record<string, string> = {}) {
  await using program = solaris(args, environment);
  program.start();
  return { code: await program.exit(), output: program.output };
}

const listening =
  /"message":"listening","origin":"(http:[^"]+)"(?:,"gateway":"([^"]+)")?.*"authority":"(I[0-9a-f]{64})"/;

describe("solaris", () => {
  test("starts on an empty directory, keeps its secrets to its owner, and starts again as the same authority", async () => {
    await using program = solaris(["serve", "--with-gateway"]);
    program.start();
    const [, origin = "", gateway = "", authority] = await program.until(listening);
    const keyFile = join(folder, "data.admin-key");
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "data.key")).mode & 0o777).toBe(0o600);
    const key = readFileSync(keyFile, "utf8").trim();
    expect(key).toMatch(/^solaris_[A-Za-z0-9_-]{43}$/);
    const authorization = `Bearer ${key}`;
    expect((await fetch(`${origin}/api/v1/customers`, { headers: { authorization } })).status).toBe(200);
    expect((await fetch(`${gateway}/readyz`)).status).toBe(200);
    expect(await program.stop()).toBe(0);
    for (const name of readdirSync(join(folder, "data"))) {
      expect(statSync(join(folder, "data", name)).mode & 0o077).toBe(0);
      expect(readFileSync(join(folder, "data", name)).includes(key)).toBe(false);
    }
    expect(program.log).not.toContain(key);
    expect(program.log).not.toContain(readFileSync(join(folder, "data.key"), "utf8").trim());

    rmSync(keyFile);
    program.start();
    const [, again = "", , same] = await program.until(listening);
    expect(same).toBe(authority);
    expect(existsSync(keyFile)).toBe(false);
    expect((await fetch(`${again}/api/v1/customers`, { headers: { authorization } })).status).toBe(200);
    await program.stop();
  }, 60_000);

  test("without its key the data does not open, and says what is missing; with a wrong one too", async () => {
    await using program = solaris(["serve"]);
    program.start();
    await program.until(listening);
    await program.stop();
    rmSync(join(folder, "data.key"));
    const missing = await run(["serve"]);
    expect(missing.code).toBe(78);
    expect(missing.output).toContain("SOLARIS_KEY");
    const wrong = await run(["serve"], { SOLARIS_KEY: "x".repeat(40) });
    expect(wrong.code).toBe(1);
    expect(wrong.output).toContain("database_key");
    expect(wrong.output).not.toContain("xxxx");
  }, 60_000);

  test("makes keys and verifies the audit log from the command line; a changed export is found", async () => {
    await using program = solaris(["serve"]);
    program.start();
    const [, origin = "", , authority = ""] = await program.until(listening);
    const made = await run(["keys", "create", "--name", "ci", "--scopes", "customers:read,customers:write"]);
    const key = made.output.trim();
    expect(key).toMatch(/^solaris_/);
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const posted = await fetch(`${origin}/api/v1/customers`, { method: "POST", headers, body: '{"name":"Acme"}' });
    expect(posted.status).toBe(201);
    expect((await fetch(`${origin}/api/v1/gateways`, { headers })).status).toBe(403);
    const admin = readFileSync(join(folder, "data.admin-key"), "utf8").trim();
    const exported = await fetch(`${origin}/api/v1/audit/export`, { headers: { authorization: `Bearer ${admin}` } });
    const text = await exported.text();
    await program.stop();
    expect(await run(["audit", "verify"])).toMatchObject({
      code: 0,
      output: expect.stringContaining("The log is whole."),
    });
    const file = join(folder, "export.ndjson");
    writeFileSync(file, text);
    expect((await run(["audit", "verify", "--file", file, "--authority", authority])).code).toBe(0);
    writeFileSync(file, text.replace('"customer.created"', '"customer.removed"'));
    const changed = await run(["audit", "verify", "--file", file, "--authority", authority]);
    expect(changed.code).toBe(1);
    expect(changed.output).toContain("was changed");
  }, 60_000);

  test("an unknown setting and an unknown command are told, not ignored", async () => {
    const setting = await run(["serve", "--check-config"], { SOLARIS_PORT: "1" });
    expect([setting.code, setting.output.includes("SOLARIS_PORT")]).toEqual([78, true]);
    expect((await run(["frobnicate"])).code).not.toBe(0);
    const help = await run(["--help"]);
    expect(help.code).toBe(0);
    expect(help.output).toContain("SOLARIS_DATA");
  }, 60_000);
});
