import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import type { PluginView } from "../support/solaris-api.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

/** Promise 9: a bad configuration returns to the last good one without a visit. */
describe("a configuration that the API takes and the site can't run", () => {
  let stack: Stack;
  let agent: Awaited<ReturnType<Stack["addAgent"]>>;
  const [good, better] = [freePort(), freePort()] as const;
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const taken = other.port;

  beforeAll(async () => {
    stack = await Stack.start();
    agent = await stack.addAgent({ allow: [good, better, taken].map((port) => `127.0.0.1:${port}`) });
  }, timeoutMs);
  afterAll(async () => {
    other.stop(true);
    await stack?.[Symbol.asyncDispose]();
  });

  const webhook = (port: number) => ({ type: "webhook", config: { port, auth: { kind: "none" } } });

  /** The report about this version: it does not run, and why. */
  function failed(plugin: string, version: number): Promise<NonNullable<PluginView["actual"]>> {
    return eventually(`the failure of ${plugin} is reported`, async () => {
      const { actual } = await stack.api.plugin(agent.agentId, plugin);
      return actual?.state === "failed" && actual.wanted === version ? actual : undefined;
    });
  }

  async function post(port: number, body: string): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body });
    expect(answer.status).toBe(202);
    const query = { agentId: agent.agentId, plugin: "hook" };
    await eventually(`${body} is received`, async () => {
      const all = await stack.api.allReceived(query);
      return all.some((message) => message.body === body);
    });
  }

  test(
    "a port that is taken: the last good one listens on, over a restart too; a later good one is applied",
    async () => {
      const { version } = await stack.api.putPlugin(agent.agentId, "hook", webhook(good));
      await stack.applied(agent.agentId, "hook");
      await post(good, "before");

      const bad = await stack.api.putPlugin(agent.agentId, "hook", webhook(taken));
      const report = await failed("hook", bad.version);
      expect(report).toMatchObject({ version, wanted: bad.version });
      expect(report.reason ?? "").not.toBe("");
      await post(good, "with the bad one wanted");

      await agent.site.program.stop();
      agent.site.start();
      await stack.online(agent.agentId);
      await eventually("it listens again", () =>
        fetch(`http://127.0.0.1:${good}/`).then(
          () => true,
          () => false,
        ),
      );
      await post(good, "after a restart");

      await stack.api.putPlugin(agent.agentId, "hook", webhook(better));
      await stack.applied(agent.agentId, "hook");
      await post(better, "the later good one");
      await expect(fetch(`http://127.0.0.1:${good}/`)).rejects.toThrow();
    },
    timeoutMs,
  );

  test(
    "a host or a directory that the site's own list does not name: the last good one goes on",
    async () => {
      const directory = join(agent.site.exchange);
      const good = { type: "file", config: { down: { directory, name: "{id}.txt" } } };
      const { version } = await stack.api.putPlugin(agent.agentId, "files", good);
      await stack.applied(agent.agentId, "files");
      for (const bad of [
        { type: "file", config: { down: { directory: "/etc", name: "{id}.txt" } } },
        { type: "file", config: { down: { directory: join(directory, "not-there"), name: "{id}.txt" } } },
        { type: "http", config: { baseUrl: "http://127.0.0.1:1/", down: { path: "/" } } },
      ]) {
        const wanted = (await stack.api.putPlugin(agent.agentId, "files", bad)).version;
        const report = await failed("files", wanted);
        expect(report).toMatchObject({ version, wanted });
        expect(report.code).toBeDefined();
        const pushed = await stack.api.push(agent.agentId, "files", `beside version ${wanted}`, { waitS: 20 });
        expect(pushed.state).toBe("applied");
        expect(await Bun.file(join(directory, `${pushed.id}.txt`)).text()).toBe(`beside version ${wanted}`);
      }
      await stack.api.putPlugin(agent.agentId, "files", good);
      await stack.applied(agent.agentId, "files");
    },
    timeoutMs,
  );

  test(
    "one bad item does not keep the others from being applied",
    async () => {
      await stack.api.putPlugin(agent.agentId, "hook", webhook(better));
      await stack.applied(agent.agentId, "hook");
      await agent.site.program.stop();
      const directory = agent.site.exchange;
      const bad = await stack.api.putPlugin(agent.agentId, "hook", webhook(taken));
      await stack.api.putPlugin(agent.agentId, "more", { type: "file", config: { down: { directory } } });
      agent.site.start();
      await stack.applied(agent.agentId, "more");
      await failed("hook", bad.version);
      expect((await stack.api.push(agent.agentId, "more", "{}", { waitS: 20 })).state).toBe("applied");
      await post(better, "still the last good one");
    },
    timeoutMs,
  );
});
