import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** A message from the API to a file at the site and back, through real processes. */
function mainPath(broker: "embedded" | "nats"): void {
  let stack: Stack;
  let agent: Awaited<ReturnType<Stack["addAgent"]>>;
  let inbound: string;
  let outbound: string;

  beforeAll(async () => {
    stack = await Stack.start({ broker });
    agent = await stack.addAgent();
    inbound = join(agent.site.exchange, "in");
    outbound = join(agent.site.exchange, "out");
    mkdirSync(inbound);
    mkdirSync(outbound);
    await stack.api.putPlugin(agent.agentId, "files", {
      type: "file",
      config: {
        down: { directory: inbound, name: "{id}.json" },
        up: { directory: outbound, pattern: "*.json", settleMs: 50, after: "delete" },
      },
    });
    await stack.applied(agent.agentId, "files");
  }, timeoutMs);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, timeoutMs);

  test(
    "what is pushed becomes a file at the site, and the API says applied",
    async () => {
      const body = JSON.stringify({ order: 4711 });
      const pushed = await stack.api.push(agent.agentId, "files", body, { key: "order-4711", waitS: 20 });
      expect(pushed.state).toBe("applied");
      expect(readFileSync(join(inbound, `${pushed.id}.json`), "utf8")).toBe(body);
      const repeated = await stack.api.push(agent.agentId, "files", body, { key: "order-4711" });
      expect(repeated).toMatchObject({ id: pushed.id, repeated: true });
      const { state, storedAt, appliedAt } = await stack.api.message(pushed.id);
      expect(state).toBe("applied");
      expect(storedAt).not.toBeNull();
      expect(appliedAt).not.toBeNull();
    },
    timeoutMs,
  );

  test(
    "a batch arrives whole and in order",
    async () => {
      const before = new Set(readdirSync(inbound));
      const items = Array.from({ length: 100 }, (_, number) => ({ json: { number } }));
      const pushed = await stack.api.pushBatch(agent.agentId, "files", items, 30);
      expect(pushed.map(({ state }) => state)).toEqual(items.map(() => "applied"));
      const files = readdirSync(inbound).filter((name) => !before.has(name));
      expect(files.length).toBe(100);
      const numbers = pushed.map(({ id }) => JSON.parse(readFileSync(join(inbound, `${id}.json`), "utf8")).number);
      expect(numbers).toEqual(items.map(({ json }) => json.number));
    },
    timeoutMs,
  );

  test(
    "a file at the site comes up, once",
    async () => {
      writeFileSync(join(outbound, "stock.part"), JSON.stringify({ stock: 12 })); // not of its pattern before it is whole
      renameSync(join(outbound, "stock.part"), join(outbound, "stock.json"));
      const received = await eventually("the file is received", async () => {
        const all = await stack.api.allReceived({ agentId: agent.agentId });
        return all.length > 0 ? all : undefined;
      });
      expect(received.map(({ body }) => body)).toEqual([JSON.stringify({ stock: 12 })]);
      expect(received[0]).toMatchObject({ agentId: agent.agentId, plugin: "files" });
      await eventually("the file is gone", () => readdirSync(outbound).length === 0);
    },
    timeoutMs,
  );

  test(
    "what is pushed while the agent is away arrives when it is back",
    async () => {
      await agent.site.program.stop();
      await stack.online(agent.agentId, false);
      const pushed = await stack.api.push(agent.agentId, "files", '"later"');
      expect(pushed.state).toBe("queued");
      agent.site.start();
      await eventually("it is applied", async () => (await stack.api.message(pushed.id)).state === "applied");
      expect(readFileSync(join(inbound, `${pushed.id}.json`), "utf8")).toBe('"later"');
    },
    timeoutMs,
  );

  test(
    "a suspended licence ends the session and loses nothing that waits",
    async () => {
      const { customerId, licenceId } = await stack.api.createCustomer("suspended");
      const { agentId, site } = await stack.addAgent({ name: "suspended", customerId });
      await stack.api.call("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
      await stack.online(agentId, false, 10_000);
      await eventually("the agent knows why", () => site.program.log.includes('"suspended"'));
      await stack.api.call("POST", `/licences/${licenceId}/resume`);
      await site.program.stop();
      site.start(); // instead of waiting for its back-off
      await stack.online(agentId);
    },
    timeoutMs,
  );

  test(
    "a revoked agent goes, is refused, and cannot enroll again",
    async () => {
      const revoked = await stack.addAgent({ name: "revoked" });
      await stack.api.revoke(revoked.agentId);
      await stack.online(revoked.agentId, false, 10_000);
      await revoked.site.program.kill();
      const token = join(stack.directory, "revoked", "token");
      const again = await revoked.site.cli(["enroll", "--token-file", token]);
      expect(again.code).not.toBe(0);
      expect(again.output).toContain("(enrolled)");
      const other = await stack.addSite({ name: "other" }).cli(["enroll", "--token-file", token]);
      expect(other.code).not.toBe(0);
      expect(other.output).toContain("(token_used)");
    },
    timeoutMs,
  );
}

describe("main path, one process with the embedded broker", () => mainPath("embedded"));
needs("nats-server", "apt-get install nats-server")("main path, NATS and a process for each program", () =>
  mainPath("nats"),
);
