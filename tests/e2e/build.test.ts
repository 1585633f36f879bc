import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { nativeBinary } from "../support/native-binaries.ts";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 120_000;
/** Far above what they take (DESIGN: 500 ms, 120 MB), because tests share their machine; `bun run bench` holds the numbers. */
const [onlineMs, residentBytes] = [15_000, 250 * 1024 * 1024];

describe("native binaries, in folders with nothing else in them", () => {
  let folder: string;
  let commands: { mercury: string[]; nexus: string[]; solaris: string[] };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "binaries-"));
    commands = {
      mercury: [await nativeBinary("agent", folder)],
      nexus: [await nativeBinary("gateway", folder)],
      solaris: [await nativeBinary("control", folder)],
    };
  }, timeoutMs);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("each tells its version and its help", async () => {
    for (const command of Object.values(commands)) {
      const run = async (word: string) =>
        await new Response(Bun.spawn([...command, word], { cwd: folder, env: {}, stderr: "inherit" }).stdout).text();
      expect(await run("--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
      expect(await run("--help")).toContain("Usage:");
    }
  }, 30_000);

  async function smoke(broker: "embedded" | "nats"): Promise<void> {
    await using stack = await Stack.start({ broker, commands });
    const { agentId, site } = await stack.addAgent();
    const [inbound, outbound] = [join(site.exchange, "in"), join(site.exchange, "out")];
    mkdirSync(inbound);
    mkdirSync(outbound);
    const up = { directory: outbound, settleMs: 50, after: "delete" };
    await stack.api.putPlugin(agentId, "files", { type: "file", config: { down: { directory: inbound }, up } });
    await stack.applied(agentId, "files");

    const pushed = await stack.api.push(agentId, "files", '{"order":1}', { waitS: 20 });
    expect(pushed.state).toBe("applied");
    expect(readFileSync(join(inbound, `${pushed.id}.json`), "utf8")).toBe('{"order":1}');

    // Moved there whole: between its making and its filling a file may lie empty for longer than it takes to settle.
    writeFileSync(join(site.exchange, "stock.json"), '{"stock":2}');
    renameSync(join(site.exchange, "stock.json"), join(outbound, "stock.json"));
    const received = await eventually("the file is received", async () => {
      const all = await stack.api.allReceived({ agentId });
      return all.length > 0 && all;
    });
    expect(received.map(({ body }) => body)).toEqual(['{"stock":2}']);

    await site.program.stop();
    const started = Date.now();
    site.start();
    const status = await eventually("it is online again", async () => {
      const now = await site.status();
      return now.tunnel.state === "online" && now;
    });
    expect(status.tunnel.since - started).toBeLessThan(onlineMs);
    expect(status.residentBytes).toBeLessThan(residentBytes);
    if (process.env.STACK_LOGS === "1")
      console.error(`online after ${status.tunnel.since - started} ms, ${status.residentBytes / 1_048_576} MB`);
    expect(readdirSync(folder).sort()).toEqual(["mercury", "nexus", "solaris"]); // nothing was unpacked beside them
  }

  test("Mercury and Solaris with its Nexus: enroll, one push, one pull", () => smoke("embedded"), timeoutMs);

  needs("nats-server", "apt-get install nats-server")("over NATS", () => {
    test("Mercury, Nexus and Solaris: enroll, one push, one pull", () => smoke("nats"), timeoutMs);
  });
});
