import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";
import { steadyFlow } from "../support/steady-flow.ts";
import { connectTo, serveTcp, type TestServer } from "../support/tcp-peers.ts";

const timeoutMs = 120_000;
setDefaultTimeout(timeoutMs);

/** Connections that outlive the loss of what they run through: Nexus, a tunnel, a channel. */
function outlives(broker: "embedded" | "nats", nexusReplicas: number): void {
  let stack: Stack;
  let echo: TestServer;
  let site: Awaited<ReturnType<Stack["addAgent"]>>;
  let backend: Awaited<ReturnType<Stack["addAgent"]>>;
  let port: number;

  beforeAll(async () => {
    stack = await Stack.start({ broker, nexusReplicas, cuttable: broker === "embedded" });
    echo = serveTcp();
    site = await stack.addAgent({ name: "site" });
    backend = await stack.addAgent({ name: "backend", customerId: site.customerId, allow: [`127.0.0.1:${echo.port}`] });
    port = freePort();
    const made = await stack.api.call<{ id: string }>("POST", "/portals", {
      customerId: site.customerId,
      name: "echo",
      inlet: { agentId: site.agentId, listen: { port } },
      outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: echo.port } },
    });
    await eventually("both nodes run the portal", async () => {
      const { nodes } = await stack.api.call<{ nodes: { inSync: boolean }[] }>("GET", `/portals/${made.id}`);
      return nodes.every(({ inSync }) => inSync);
    });
  }, timeoutMs);

  afterAll(async () => {
    echo?.[Symbol.dispose]();
    await stack?.[Symbol.asyncDispose]();
  }, timeoutMs);

  test(
    "Nexus is killed and started again: the client notices a pause",
    async () => {
      const flow = await steadyFlow(port);
      await stack.gateway.kill();
      await stack.startGateway();
      await flow.goesOn();
      await flow.stop();
      expect(flow.longestPauseMs()).toBeLessThan(30_000);
    },
    timeoutMs,
  );

  if (broker === "embedded")
    test(
      "the network is cut again and again",
      async () => {
        const flow = await steadyFlow(port);
        for (let cuts = 0; cuts < 2; cuts++) {
          stack.network.cut();
          await flow.goesOn();
        }
        await flow.stop();
      },
      timeoutMs,
    );

  test(
    "a Mercury that is killed ends its connections: nothing goes on over a restart",
    async () => {
      const connection = await connectTo(port);
      void connection.write("x");
      await eventually("it is up", () => connection.receivedBytes === 1);
      const served = echo.connections.at(-1);
      await site.site.program.kill();
      site.site.start();
      await connection.ended; // the system says it for the process
      await stack.online(site.agentId);
      await eventually("a new one works", async () => {
        const again = await connectTo(port);
        void again.write("y");
        const came = await eventually("an answer", () => again.receivedBytes === 1, { timeoutMs: 2_000 }).catch(
          () => false,
        );
        again.reset();
        return came;
      });
      expect(await served?.closed).toBe("reset"); // told by the new channel, which does not say that it goes on
    },
    timeoutMs,
  );
}

describe("one process with the embedded broker", () => outlives("embedded", 1));
needs("nats-server", "apt-get install nats-server")("NATS and two replicas of Nexus", () => outlives("nats", 2));
