import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import packageFile from "../../package.json" with { type: "json" };
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { SolarisApi } from "../support/solaris-api.ts";

setDefaultTimeout(30_000);

const root = resolve(import.meta.dir, "../..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const pinned = packageFile.devDependencies["bun-types"];
const bun = `npx --yes bun@${pinned}`;
const timeoutMs = 90_000;

/** The `$ ` lines between `<!-- name:begin -->` and `<!-- name:end -->`. */
function commandsOf(name: string): string[] {
  const section = new RegExp(`<!-- ${name}:begin -->(.*?)<!-- ${name}:end -->`, "s").exec(readme)?.[1] ?? "";
  return section.split("\n").flatMap((line) => (line.startsWith("$ ") ? [line.slice(2)] : []));
}

/** What a person's two terminals do, in one shell: the first command stays in the background. */
function scriptOf(commands: readonly string[], replaced: Readonly<Record<string, string>>): string {
  const [first = "", ...rest] = commands;
  const lines = ["set -eu", `${first} &`, ...rest.slice(0, 1), 'echo "$AGENT $KEY"', ...rest.slice(1), "wait"];
  return Object.entries(replaced).reduce((text, [from, to]) => text.replaceAll(from, to), lines.join("\n"));
}

describe("README", () => {
  test("every command names the Bun that this is tested with, and a script that there is", () => {
    const commands = readme.split("\n").filter((line) => line.startsWith("$ "));
    const runs = commands.flatMap((line) => [...line.matchAll(/npx (.*?) run (\S+)/g)]);
    expect(runs.length).toBeGreaterThan(2);
    for (const [, runner, script = ""] of runs) {
      expect(`npx ${runner}`).toBe(bun);
      expect(Object.keys(packageFile.scripts)).toContain(script);
    }
    expect(Bun.version).toBe(pinned);
  });

  test.each([
    ["demo", "demo", "tests/demo/main.ts"],
    ["demo-portal", "demo:portal", "tests/demo/portal/main.ts"],
  ])("the command of %s is one that runs", async (section, script, file) => {
    expect(commandsOf(section)).toEqual([`${bun} run ${script}`]);
    const child = Bun.spawn([process.execPath, file, "--help"], { cwd: root, stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toContain(`bun run ${script} [--once] [--nats]`);
    expect(await child.exited).toBe(0);
  });

  describe("the five commands", () => {
    const folder = mkdtempSync(join(tmpdir(), "readme-"));
    const inbox = join(folder, "inbox");
    const [api, gateway] = [freePort(), freePort()];
    let shell: ChildProcess;
    let output = "";

    /** Resolves with the match in what the shell printed; rejects when it ends without. */
    function printed(pattern: RegExp): Promise<RegExpExecArray> {
      return new Promise((found, failed) => {
        const look = () => {
          const match = pattern.exec(output);
          if (match !== null) found(match);
        };
        shell.stdout?.on("data", look);
        shell.on("close", () => failed(new RangeError(`the commands ended and printed:\n${output}`)));
        look();
      });
    }

    beforeAll(() => {
      const copy = join(folder, "copy");
      const parts = [
        "agent",
        "control",
        "gateway",
        "lib",
        "migrations",
        "package.json",
        "tsconfig.json",
        "bunfig.toml",
      ];
      for (const part of parts) cpSync(join(root, part), join(copy, part), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
      const script = scriptOf(commandsOf("five"), {
        [bun]: process.execPath,
        ":8080": `:${api}`,
        "/tmp/inbox": inbox,
      });
      shell = spawn("bash", ["-c", script], {
        cwd: copy,
        detached: true, // a group of its own, so that all of it can be ended
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          PATH: process.env.PATH ?? "",
          HOME: folder,
          MERCURY_KEY_FILE: join(folder, "store.key"),
          SOLARIS_LISTEN: `127.0.0.1:${api}`,
          SOLARIS_GATEWAY_LISTEN: `127.0.0.1:${gateway}`,
        },
      });
      const keep = (chunk: Buffer) => {
        output += chunk.toString();
      };
      shell.stdout?.on("data", keep);
      shell.stderr?.on("data", keep);
    });

    afterAll(async () => {
      if (shell.pid !== undefined && shell.exitCode === null) {
        const closed = new Promise((done) => shell.on("close", done));
        process.kill(-shell.pid, "SIGKILL");
        await closed;
      }
      rmSync(folder, { recursive: true, force: true });
    });

    test("are five", () => expect(commandsOf("five").length).toBe(5));

    test(
      "deliver a message into a file at the site",
      async () => {
        const [, agent = "", key = ""] = await printed(/(agt_\S+) (solaris_\S+)/);
        const [, id] = await printed(/"id":"([0-9a-f]{32})","repeated":false,"state":"applied"/);
        expect(readdirSync(inbox)).toEqual([`${id}.json`]);
        expect(JSON.parse(readFileSync(join(inbox, `${id}.json`), "utf8"))).toEqual({ order: 4711 });
        const solaris = new SolarisApi(`http://127.0.0.1:${api}`, key);
        await eventually("the agent is shown online", async () => (await solaris.status(agent)).online);
      },
      timeoutMs,
    );
  });
});
