import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { Program } from "../support/program.ts";
import { Stack } from "../support/stack.ts";
import { type SteadyFlow, steadyFlow } from "../support/steady-flow.ts";
import { serveTcp, type TestServer } from "../support/tcp-peers.ts";

const timeoutMs = 120_000;
setDefaultTimeout(timeoutMs);

type Agent = Awaited<ReturnType<Stack["addAgent"]>>;

/** Keys change under connections that are open, and while a node is away. */
describe("rotation with open channels", () => {
  let stack: Stack;
  let echo: TestServer;
  let site: Agent;
  let backend: Agent;
  let away: Agent;
  let port: number;

  beforeAll(async () => {
    stack = await Stack.start();
    echo = serveTcp();
    const allow = [`127.0.0.1:${echo.port}`];
    site = await stack.addAgent({ name: "site" });
    const { customerId } = site;
    backend = await stack.addAgent({ name: "backend", customerId, allow });
    away = await stack.addAgent({ name: "away", customerId, allow });
    port = await portalTo(backend, "echo");
  });

  afterEach(() => {
    // Else a stream lives on, and its channel ends with the credential before.
    for (const { program } of [site.site, backend.site]) {
      expect(program.log).not.toContain("a renewed credential was not taken");
      expect(program.log).not.toContain("the cloud refused a request");
    }
  });

  afterAll(async () => {
    echo?.[Symbol.dispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  async function portalTo(outlet: Agent, name: string): Promise<number> {
    const listen = { port: freePort() };
    const made = await stack.api.call<{ id: string }>("POST", "/portals", {
      customerId: site.customerId,
      name,
      inlet: { agentId: site.agentId, listen },
      outlet: { agentIds: [outlet.agentId], target: { host: "127.0.0.1", port: echo.port } },
    });
    await eventually("both nodes run the portal", async () => {
      const { nodes } = await stack.api.call<{ nodes: { inSync: boolean }[] }>("GET", `/portals/${made.id}`);
      return nodes.every(({ inSync }) => inSync);
    });
    return listen.port;
  }

  async function command(agent: Agent, name: string): Promise<void> {
    const path = `/agents/${agent.agentId}/commands`;
    const given = await stack.api.request("POST", path, {
      body: JSON.stringify({ command: { name } }),
      headers: { "content-type": "application/json", prefer: "wait=20" },
    });
    expect(await given.json()).toMatchObject({ state: "done" });
  }

  async function changes(agent: Agent): Promise<number> {
    const { output } = await agent.site.cli(["identity", "show", "--json"]);
    return JSON.parse(output).changes;
  }

  /** `solaris authority rotate`. */
  async function rotateAuthority(): Promise<void> {
    const { settings } = stack.solaris;
    const command = [...settings.command.slice(0, settings.command.indexOf("serve")), "authority", "rotate"];
    const logFile = join(stack.directory, "rotate.log");
    const rotated = async () => {
      await using program = new Program({ ...settings, command, logFile });
      program.start();
      return (await program.exit(20_000)) === 0;
    };
    await eventually("the authority is rotated", rotated, { timeoutMs: 30_000 }); // not while the one before is unfinished
  }

  /** The stream still runs on the channel and on one made anew: its network is cut. */
  async function livesOn(flow: SteadyFlow): Promise<void> {
    await flow.goesOn();
    await command(site, "reconnect");
    await flow.goesOn();
    await command(backend, "reconnect");
    await flow.goesOn();
  }

  test("the identity of either node, one after the other: the stream goes on, over reconnects too", async () => {
    const flow = await steadyFlow(port);
    for (const agent of [site, backend]) {
      const before = await changes(agent);
      await command(agent, "rotate");
      await eventually("the new keys are in use", async () => (await changes(agent)) === before + 1);
      await flow.goesOn();
    }
    await livesOn(flow);
    await flow.stop();
  });

  test("the authority, twice: the stream goes on, over reconnects and the destruction of the former keys", async () => {
    const flow = await steadyFlow(port);
    await rotateAuthority();
    await flow.goesOn();
    await livesOn(flow);
    await rotateAuthority(); // the first is finished: its former keys are gone
    await livesOn(flow);
    await flow.stop();
  });

  test("nodes that were away during both come back, and serve what is opened then", async () => {
    const other = await portalTo(away, "away");
    await away.site.program.kill();
    await stack.online(away.agentId, false);
    await rotateAuthority();
    await command(site, "rotate");
    await rotateAuthority();
    away.site.start();
    await stack.online(away.agentId);
    const flow = await steadyFlow(other);
    await flow.stop();
  });
});
