import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import packageFile from "../../../package.json" with { type: "json" };
import { MercurySite } from "../../support/mercury-site.ts";
import { sourceCommands } from "../../support/stack.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Runs one command line where nobody is enrolled. */
async function mercury(words: readonly string[], environment: Record<string, string> = {}, input?: string) {
  await using folder = await temporaryFolder();
  const site = new MercurySite({ command: sourceCommands.mercury, directory: folder.path, name: "site", environment });
  return await site.cli(words, input);
}

describe("mercury's command line", () => {
  test(
    "tells its commands, its variables and its exit codes",
    async () => {
      const { code, output } = await mercury(["--help"]);
      expect(code).toBe(0);
      for (const word of [
        "enroll",
        "run",
        "status",
        "doctor",
        "identity",
        "leave",
        "MERCURY_TOKEN",
        "HTTPS_PROXY",
        "75",
      ])
        expect(output).toContain(word);
      expect(await mercury(["--version"])).toEqual({ code: 0, output: `${packageFile.version}\n` });
      expect((await mercury(["enroll", "--help"])).output).toContain("--token-file");
    },
    timeoutMs,
  );

  test.each([
    ["no command", [], "Usage:"],
    ["a command that there is not", ["frobnicate"], "unknown command"],
    ["an option that there is not", ["status", "--yaml"], "unknown option"],
    ["an option without its value", ["enroll", "--token-file"], "argument missing"],
    ["a word too many", ["status", "now"], "too many arguments"],
  ])(
    "answers %s with how it is called and exit code 2",
    async (_, words, told) => {
      const { code, output } = await mercury(words);
      expect(output).toContain(told);
      expect(code).toBe(2);
    },
    timeoutMs,
  );

  test.each([
    ["MERCURY_LOG_LEVEL", { MERCURY_LOG_LEVEL: "loud" }],
    ["MERCURY_ALLOW_INSECURE", { MERCURY_ALLOW_INSECURE: "perhaps" }],
  ])(
    "names a variable that does not fit: %s",
    async (name, environment) => {
      const { code, output } = await mercury(["status"], environment);
      expect(output).toContain(name);
      expect(output).toContain("(config)");
      expect(code).toBe(2);
    },
    timeoutMs,
  );

  test(
    "says what is missing before anything is enrolled",
    async () => {
      const told: [string[], string][] = [
        [["status"], "(unavailable)"],
        [["run"], "(not_found)"],
        [["identity", "show"], "(not_found)"],
        [["identity", "rotate"], "(not_found)"],
        [["leave"], "--yes"],
      ];
      for (const [words, text] of told) {
        const { code, output } = await mercury(words);
        expect(output).toContain(text);
        expect(output.trim().split("\n").length).toBeLessThan(3); // a line for people, no stack trace
        expect(code).toBeGreaterThan(0);
      }
      const { output } = await mercury(["status", "--json"]);
      expect(JSON.parse(output.split("\n")[0] ?? "")).toEqual({ running: false });
    },
    timeoutMs,
  );

  test.each([
    ["nothing at all", "", "(bad_request)"],
    ["something else than a token", "hello, world", "(token_invalid)"],
    ["a token cut off", `mercury_${"A".repeat(100)}`, "(token_damaged)"],
    ["more than a token can be", "x".repeat(100_000), "(too_large)"],
  ])(
    "refuses %s on standard input, without showing it",
    async (_, input, told) => {
      const { code, output } = await mercury(["enroll"], {}, input);
      expect(output).toContain(told);
      if (input !== "") expect(output).not.toContain(input.slice(0, 60));
      expect(code).toBeGreaterThan(0);
    },
    timeoutMs,
  );

  test(
    "refuses a token file that is not there, and a site list that can't be",
    async () => {
      const missing = await mercury(["enroll", "--token-file", "/nowhere/token"]);
      expect(missing.output).toContain("(not_found)");
      expect(missing.code).toBe(1);
      const relative = await mercury(["enroll", "--allow-dir", "exchange"], { MERCURY_TOKEN: "mercury_x" });
      expect(relative.output).toContain("absolute path");
      const host = await mercury(["allow", "no port here"]);
      expect(host.output).toContain("(config)");
      expect(host.code).toBe(2);
    },
    timeoutMs,
  );

  test(
    "keeps and shows the site's own list",
    async () => {
      await using folder = await temporaryFolder();
      const site = new MercurySite({ command: sourceCommands.mercury, directory: folder.path, name: "site" });
      await site.cli(["allow", "erp.internal:8000", "--dir", folder.path]);
      const { code, output } = await site.cli(["allow"]);
      expect(code).toBe(0);
      expect(output).toContain("erp.internal:8000");
      expect(output).toContain(folder.path);
      writeFileSync(join(site.data, "site.json"), "{");
      expect((await site.cli(["allow"])).output).toContain("(config)");
    },
    timeoutMs,
  );
});
