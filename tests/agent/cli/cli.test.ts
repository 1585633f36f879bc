import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { systemRandom } from "#lib/runtime";
import { encodeEnrollmentToken } from "#lib/statement";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "../../..");
const timeoutMs = 30_000;
const folders: string[] = [];
const children: Bun.Subprocess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A site of its own: data directory and home. */
async function site() {
  const folder = await mkdtemp(join(tmpdir(), "mercury-cli-"));
  folders.push(folder);
  const environment = {
    PATH: process.env.PATH ?? "",
    HOME: folder,
    MERCURY_DATA: join(folder, "data"),
    MERCURY_KEY_FILE: join(folder, "keys/store.key"),
    MERCURY_LOG_FORMAT: "json",
  };
  const start = (words: readonly string[], more: Record<string, string> = {}, input = "") => {
    const child = Bun.spawn([process.execPath, join(root, "agent/main.ts"), ...words], {
      cwd: folder,
      env: { ...environment, ...more },
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    children.push(child);
    return child;
  };
  const run = async (words: readonly string[], more: Record<string, string> = {}, input = "") => {
    const child = start(words, more, input);
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, out, err };
  };
  return { folder, start, run, data: environment.MERCURY_DATA };
}

/** A token whose gateway nobody is. */
const tokenFor = (gateway: string) =>
  encodeEnrollmentToken(webSuite, {
    gateway,
    authority: `I${hex(systemRandom(32))}`,
    newestChange: hex(systemRandom(32)),
    tokenId: "tok_1",
    secret: systemRandom(32),
  });

const nobody = "http://127.0.0.1:1";

describe("mercury", () => {
  test(
    "--help names every command with examples, variables and exit codes; each command has its own",
    async () => {
      const { run } = await site();
      const { code, out } = await run(["--help"]);
      expect(code).toBe(0);
      for (const word of [
        "enroll",
        "run",
        "status",
        "doctor",
        "allow",
        "identity",
        "leave",
        "Examples:",
        "Exit codes:",
      ])
        expect(out).toContain(word);
      for (const variable of ["MERCURY_TOKEN", "MERCURY_STORE_KEY", "HTTPS_PROXY", "MERCURY_CA_FILE"])
        expect(out).toContain(variable);
      const enroll = await run(["enroll", "--help"]);
      expect(enroll.out).toContain("--allow <host:port>");
      expect(enroll.out).not.toContain("default: []");
      expect((await run(["identity", "--help"])).out).toContain("rotate");
    },
    timeoutMs,
  );

  test(
    "what is called wrongly ends with 2 and says what there is",
    async () => {
      const { run } = await site();
      const unknown = await run(["enrol"]);
      expect(unknown.code).toBe(2);
      expect(unknown.err).toContain("enroll");
      expect((await run(["status", "--colour"])).code).toBe(2);
      const variable = await run(["status"], { MERCURY_LOG_LEVEL: "loud" });
      expect(variable.code).toBe(2);
      expect(variable.err).toContain("MERCURY_LOG_LEVEL");
      expect(variable.err).not.toContain("loud");
    },
    timeoutMs,
  );

  test(
    "before enrolling each command says so, in one line with its code",
    async () => {
      const { run, folder } = await site();
      const cases: [string[], number, string][] = [
        [["status"], 75, "(unavailable)"],
        [["identity", "show"], 1, "(not_found)"],
        [["identity", "rotate"], 1, "(not_found)"],
        [["run"], 1, "(not_found)"],
        [["enroll", "--token-file", "nowhere.txt"], 1, "nowhere.txt: there is no such file (not_found)"],
        [["leave"], 2, "(bad_request)"],
        [["enroll"], 2, "(bad_request)"],
        [["allow", "no-port"], 2, "(config)"],
      ];
      for (const [words, code, text] of cases) {
        const done = await run(words);
        expect({ words, code: done.code }).toEqual({ words, code });
        const lines = done.err.trim().split("\n");
        expect(lines.at(-1)).toStartWith("mercury: ");
        expect(lines.at(-1)).toContain(text);
        expect(done.err).not.toContain("    at "); // no stack traces for what a person can mend
      }
      expect(existsSync(join(folder, "data", "mercury.db"))).toBe(false); // nothing was made on the way
      const json = await run(["status", "--json"]);
      expect(JSON.parse(json.out)).toEqual({ running: false });
      expect(folder).not.toBe("");
    },
    timeoutMs,
  );
});

describe("mercury enroll", () => {
  test(
    "takes a token from a file, a variable, standard input or the command line, where it warns; never shows it",
    async () => {
      const { run, folder } = await site();
      const token = await tokenFor(nobody);
      await writeFile(join(folder, "token"), token, { mode: 0o600 });
      const ways = [
        await run(["enroll", "--token-file", "token"]),
        await run(["enroll"], { MERCURY_TOKEN: token }),
        await run(["enroll", "--token-file", "-"], {}, token),
        await run(["enroll"], {}, `${token}\n`),
        await run(["enroll", token]),
      ];
      for (const way of ways) {
        expect(way.code).toBe(75);
        expect(way.err).toContain("(unavailable)");
        expect(way.out + way.err).not.toContain(token.slice(10, 40));
      }
      expect(ways[4]?.err).toContain("warning");
      expect(ways[0]?.err.split("\n").filter((line) => line.includes("command line"))).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "tells an edited token, one that is none, and a gateway without TLS",
    async () => {
      const { run } = await site();
      const token = await tokenFor("http://gateway.example.com");
      const edited = `${token.slice(0, -3)}${token.endsWith("AAA") ? "BBB" : "AAA"}`;
      expect((await run(["enroll"], { MERCURY_TOKEN: edited })).err).toContain("(token_damaged)");
      expect((await run(["enroll"], { MERCURY_TOKEN: "hunter2" })).err).toContain("(token_invalid)");
      const open = await run(["enroll"], { MERCURY_TOKEN: token });
      expect(open.err).toContain("(config)");
      expect(open.code).toBe(2);
    },
    timeoutMs,
  );

  test(
    "keeps the site's own list before anything is sent; the store is encrypted under a key outside it",
    async () => {
      const { run, data, folder } = await site();
      const words = [
        "enroll",
        "--allow",
        "erp.internal:8000",
        "--allow",
        "10.0.0.0/8:443",
        "--allow-dir",
        "/srv/exchange",
      ];
      await run(words, { MERCURY_TOKEN: await tokenFor(nobody) });
      const list = JSON.parse(await readFile(join(data, "site.json"), "utf8"));
      expect(list).toEqual({ allow: ["erp.internal:8000", "10.0.0.0/8:443"], directories: ["/srv/exchange"] });
      const key = join(folder, "keys/store.key");
      expect((await stat(key)).mode & 0o777).toBe(0o600);
      expect((await readFile(join(data, "mercury.db"))).subarray(0, 6).toString()).not.toBe("SQLite");
      await writeFile(key, "another key, which is long enough to be one", { mode: 0o600 });
      const wrong = await run(["identity", "show"]);
      expect(wrong.err).toContain("(database_key)");
      expect(wrong.code).toBe(1);
    },
    timeoutMs,
  );
});

describe("mercury doctor", () => {
  test(
    "names the hop that fails: nothing given, name, connection, what answers",
    async () => {
      const { run } = await site();
      const failing = async (words: string[], more: Record<string, string> = {}) => {
        const { code, out } = await run(["doctor", "--json", ...words], more);
        const { ok, findings } = JSON.parse(out);
        expect({ ok, code }).toEqual({ ok: false, code: 75 });
        return findings.find((finding: { ok: boolean }) => !finding.ok);
      };
      expect((await failing([])).hop).toBe("enrollment");
      expect((await failing(["--gateway", "https://no-such-host.invalid"])).hop).toBe("DNS");
      expect((await failing(["--gateway", nobody])).hop).toBe("connection");
      expect((await failing([], { MERCURY_TOKEN: await tokenFor(nobody) })).hop).toBe("connection");
      await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("a web server") });
      expect((await failing(["--gateway", `http://127.0.0.1:${server.port}`])).hop).toBe("Nexus");
      const proxied = await failing(["--gateway", "https://gateway.example.com"], { HTTPS_PROXY: nobody });
      expect(proxied.hop).toBe("proxy");
    },
    timeoutMs,
  );
});

test(
  "mercury run: a second one on the same data directory is refused; the first goes on trying, and ends when told",
  async () => {
    const { start, run } = await site();
    const token = { MERCURY_TOKEN: await tokenFor(nobody) };
    const first = start(["run"], token);
    const log = new Response(first.stderr).body?.pipeThrough(new TextDecoderStream());
    let text = "";
    for await (const chunk of log ?? []) {
      text += chunk;
      if (text.includes("not enrolled yet")) break;
    }
    const second = await run(["run"], token);
    expect(second.code).toBe(1);
    expect(second.err).toContain("(conflict)");
    expect((await run(["enroll"], token)).err).toContain("(conflict)");
    expect((await run(["leave", "--yes"])).err).toContain("(conflict)");
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    expect((await run(["leave", "--yes"])).code).toBe(0);
  },
  timeoutMs,
);
