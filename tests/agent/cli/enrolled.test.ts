import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chooseSuite } from "#lib/crypto";
import { decodeEnrollmentToken, encodeEnrollmentToken } from "#lib/statement";
import { eventually } from "../../support/eventually.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { secretTool } from "../../support/secret-tool.ts";
import { Stack } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

describe("mercury against a real gateway", () => {
  let stack: Stack;
  let customerId: string;
  let sites = 0;

  beforeAll(async () => {
    stack = await Stack.start();
    ({ customerId } = await stack.api.createCustomer());
  }, timeoutMs);

  afterAll(() => stack?.[Symbol.asyncDispose](), timeoutMs);

  const newSite = (environment: Record<string, string> = {}) => {
    sites += 1;
    return stack.addSite({ name: `cli-${sites}`, environment });
  };
  const newAgent = () => stack.api.createAgent(customerId, { name: crypto.randomUUID() });
  const identityOf = async (site: MercurySite): Promise<{ changes: number; rotation: string; agent: string }> =>
    JSON.parse((await site.cli(["identity", "show", "--json"])).output);

  describe("enroll", () => {
    test(
      "takes the token from standard input, a file, the environment, and with a warning from an argument",
      async () => {
        const ways: ((token: string) => Promise<{ code: number; output: string }>)[] = [
          (token) => newSite().cli(["enroll"], `${token}\n`),
          (token) => newSite().cli(["enroll", "--token-file", "-"], token),
          (token) => {
            const file = join(stack.directory, "a-token");
            writeFileSync(file, ` ${token}\r\n`);
            return newSite({ MERCURY_TOKEN_FILE: file }).cli(["enroll"]);
          },
          (token) => newSite({ MERCURY_TOKEN: token }).cli(["enroll"]),
        ];
        for (const way of ways) {
          const { agentId, token } = await newAgent();
          const { code, output } = await way(token);
          expect(output).toContain(`Enrolled as ${agentId}`);
          expect(output).not.toContain("command line");
          expect(output).not.toContain(token);
          expect(code).toBe(0);
        }
        const { agentId, token } = await newAgent();
        const { output } = await newSite().cli(["enroll", token]);
        expect(output).toContain(`Enrolled as ${agentId}`);
        expect(output).toContain("can be read by other users");
      },
      timeoutMs,
    );

    test(
      "repeats its answer with the same token, and refuses another while it is enrolled",
      async () => {
        const site = newSite();
        const { agentId, token } = await newAgent();
        expect((await site.cli(["enroll"], token)).code).toBe(0);
        const again = await site.cli(["enroll"], token);
        expect(again.output).toContain(agentId);
        const other = await site.cli(["enroll"], (await newAgent()).token);
        expect(other.output).toContain("(enrolled)");
        expect(other.code).toBe(1);
        expect((await identityOf(site)).agent).toBe(agentId);
      },
      timeoutMs,
    );

    test(
      "refuses a token that another identity used, one that was edited, and one of another cloud",
      async () => {
        const suite = await chooseSuite();
        const { token } = await newAgent();
        expect((await newSite().cli(["enroll"], token)).code).toBe(0);
        const used = await newSite().cli(["enroll"], token);
        expect(used.output).toContain("(token_used)");
        expect(used.code).toBe(1);

        const fresh = await newAgent();
        const middle = fresh.token.length >> 1;
        const edited = `${fresh.token.slice(0, middle)}${fresh.token[middle] === "A" ? "B" : "A"}${fresh.token.slice(middle + 1)}`;
        expect((await newSite().cli(["enroll"], edited)).output).toContain("(token_damaged)");

        const read = await decodeEnrollmentToken(suite, fresh.token);
        const authority = `I${"0".repeat(64)}`;
        const foreign = await encodeEnrollmentToken(suite, { ...read, authority });
        const refused = await newSite().cli(["enroll"], foreign);
        expect(refused.output).toContain("(other_cloud)");
        const guessed = await encodeEnrollmentToken(suite, { ...read, secret: new Uint8Array(32) });
        expect((await newSite().cli(["enroll"], guessed)).output).toContain("(token_invalid)");

        expect((await newSite().cli(["enroll"], fresh.token)).code).toBe(0); // nothing of this spent it
      },
      timeoutMs,
    );

    test(
      "says that a token is out of date",
      async () => {
        const suite = await chooseSuite();
        const read = await decodeEnrollmentToken(suite, (await newAgent()).token);
        using gateway = Bun.serve({
          port: 0,
          hostname: "127.0.0.1",
          fetch: (request) =>
            request.method === "GET"
              ? fetch(`${read.gateway}/enroll`)
              : Response.json({ code: "token_expired", status: 401 }, { status: 401 }),
        });
        const token = await encodeEnrollmentToken(suite, { ...read, gateway: `http://127.0.0.1:${gateway.port}` });
        const { code, output } = await newSite().cli(["enroll"], token);
        expect(output).toContain("(token_expired)");
        expect(code).toBe(1);
      },
      timeoutMs,
    );

    test(
      "keeps its token from a gateway without TLS on another machine",
      async () => {
        const suite = await chooseSuite();
        const read = await decodeEnrollmentToken(suite, (await newAgent()).token);
        const token = await encodeEnrollmentToken(suite, { ...read, gateway: "http://gateway.example.com" });
        const { code, output } = await newSite().cli(["enroll"], token);
        expect(output).toContain("no TLS");
        expect(code).toBe(2);
      },
      timeoutMs,
    );

    test(
      "is told that it may pass when the gateway is away, and ends its work later",
      async () => {
        const suite = await chooseSuite();
        const { agentId, token } = await newAgent();
        const site = newSite();
        const read = await decodeEnrollmentToken(suite, token);
        const nowhere = await encodeEnrollmentToken(suite, { ...read, gateway: "http://127.0.0.1:1" });
        const away = await site.cli(["enroll"], nowhere);
        expect(away.output).toContain("(unavailable)");
        expect(away.output).toContain("mercury doctor");
        expect(away.code).toBe(75);
        expect((await site.cli(["enroll"], token)).output).toContain(agentId);
      },
      timeoutMs,
    );
  });

  describe("run", () => {
    test(
      "enrolls itself first, refuses a second on the same data, answers status, and ends when told",
      async () => {
        const { agentId, token } = await newAgent();
        const site = newSite({ MERCURY_TOKEN: token });
        site.start();
        await stack.online(agentId);
        const second = await site.cli(["run"]);
        expect(second.output).toContain("a Mercury runs");
        expect(second.output).toContain("(conflict)");
        expect(second.code).toBe(1);
        for (const words of [["identity", "rotate"], ["leave", "--yes"], ["enroll"]])
          expect((await site.cli(words)).output).toMatch(/a Mercury runs on .*\(conflict\)/);

        const status = await site.cli(["status"]);
        expect(status.code).toBe(0);
        for (const text of ["online for", agentId, stack.gatewayOrigin]) expect(status.output).toContain(text);
        const json = JSON.parse((await site.cli(["status", "--json"])).output);
        expect(json).toMatchObject({ running: true, agentId, tunnel: { state: "online" }, pid: site.program.pid });
        const doctor = await site.cli(["doctor"]);
        expect(doctor.output).toContain(`process ${site.program.pid}, tunnel online`);
        expect(doctor.code).toBe(0);

        expect(await site.program.stop("SIGTERM")).toBe(0);
        expect((await site.cli(["status"])).code).toBe(75);
        expect(site.program.log).not.toContain(token);
      },
      timeoutMs,
    );

    test(
      "waits for its key: another one opens nothing, none says where it was looked for",
      async () => {
        const { agentId, token } = await newAgent();
        const site = newSite();
        await site.enroll(token);
        expect(statSync(site.keyFile).mode & 0o777).toBe(0o600);
        const key = readFileSync(site.keyFile);
        writeFileSync(site.keyFile, "another key that is long enough to be one\n", { mode: 0o600 });
        for (const words of [["run"], ["identity", "show"], ["doctor"]]) {
          const { code, output } = await site.cli(words);
          expect(output).toContain("database_key");
          expect(code).toBeGreaterThan(0);
        }
        writeFileSync(site.keyFile, key, { mode: 0o600 });
        expect((await identityOf(site)).agent).toBe(agentId);
      },
      timeoutMs,
    );

    test(
      "returns under the next keys after identity rotate",
      async () => {
        const { agentId, site } = await stack.addAgent({ customerId, name: "rotated" });
        expect(await identityOf(site)).toMatchObject({ changes: 1, rotation: "none" });
        await stack.api.putPlugin(agentId, "files", { type: "file", config: { down: { directory: site.exchange } } });
        await stack.applied(agentId, "files");
        await site.program.stop();
        const rotated = await site.cli(["identity", "rotate"]);
        expect(rotated.output).toContain("Change 2");
        expect(await identityOf(site)).toMatchObject({ changes: 1, rotation: "waits for Solaris" });
        site.start();
        await stack.online(agentId);
        await eventually("the rotation is done", async () => {
          const { changes, rotation } = await identityOf(site);
          return changes === 2 && rotation === "none";
        });
        await stack.online(agentId); // what was seen of it above may have been the session before
        expect(site.program.log).not.toContain("not taken"); // what Solaris has sealed to the next keys meanwhile
        await site.program.stop();
        site.start(); // and the new keys open a tunnel by themselves
        await eventually("it is online", async () => (await site.status()).tunnel.state === "online");
      },
      timeoutMs,
    );
  });

  test(
    "leave forgets the identity, the messages and the key, and nothing else",
    async () => {
      const { token } = await newAgent();
      const site = newSite();
      await site.enroll(token);
      expect((await site.cli(["leave"])).output).toContain("--yes");
      expect(existsSync(join(site.data, "mercury.db"))).toBe(true);
      const left = await site.cli(["leave", "--yes"]);
      expect(left.code).toBe(0);
      for (const path of [join(site.data, "mercury.db"), site.keyFile]) expect(existsSync(path)).toBe(false);
      expect(existsSync(join(site.data, "site.json"))).toBe(true);
      expect((await site.cli(["identity", "show"])).output).toContain("(not_found)");
      const again = await newAgent();
      expect((await site.cli(["enroll"], again.token)).output).toContain(again.agentId);
    },
    timeoutMs,
  );

  test(
    "leave removes its key from the system's key store, and no other agent's; it says what it could not remove",
    async () => {
      const tool = secretTool(join(stack.directory, "key-store"));
      const enrolled = async (folder: string) => {
        const directory = join(stack.directory, folder);
        const site = stack.addSite({ name: folder, directory, environment: tool.environment });
        await site.enroll((await newAgent()).token);
        expect(existsSync(site.keyFile)).toBe(false);
        return site;
      };
      const [one, other] = [await enrolled("same/name"), await enrolled("same-name")];
      expect(readdirSync(tool.entries)).toHaveLength(2);
      const left = await one.cli(["leave", "--yes"]);
      expect(left.output).toContain("from the system's key store");
      expect(readdirSync(tool.entries)).toHaveLength(1);
      expect((await other.cli(["identity", "show"])).code).toBe(0);

      tool.lock();
      const kept = await other.cli(["leave", "--yes"]);
      expect(kept.code).toBe(0);
      expect(kept.output).toContain("refused to remove it");
      expect(kept.output).not.toContain("from the system's key store\n");
      expect(existsSync(join(other.data, "mercury.db"))).toBe(false);
      expect((await other.cli(["leave", "--yes"])).output).toContain("No agent lives in");
    },
    timeoutMs,
  );
});
