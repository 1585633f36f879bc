import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";
import { connectTo, serveTcp, type TestConnection, type TestServer } from "../support/tcp-peers.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;

interface PortalView {
  readonly id: string;
  readonly nodes: readonly { readonly inSync: boolean; readonly actual: { readonly code: string | null } | null }[];
}

/** A client's TCP connection through two nodes and a Nexus, all real processes. */
function portals(broker: "embedded" | "nats", nexusReplicas = 1): void {
  let stack: Stack;
  let echo: TestServer;
  let site: Awaited<ReturnType<Stack["addAgent"]>>;
  let backend: Awaited<ReturnType<Stack["addAgent"]>>;
  let flood: TestServer;
  let floodedBytes = 0;
  const closedPort = freePort();

  beforeAll(async () => {
    stack = await Stack.start({ broker, nexusReplicas });
    echo = serveTcp();
    flood = serveTcp({
      open(connection) {
        const chunk = new Uint8Array(65_536);
        const send = async () => {
          for (;;) {
            await connection.write(chunk);
            floodedBytes += chunk.length;
          }
        };
        void send();
      },
    });
    site = await stack.addAgent({ name: "site" });
    const { customerId } = site;
    backend = await stack.addAgent({
      name: "backend",
      customerId,
      allow: [`127.0.0.1:${echo.port}`, `127.0.0.1:${flood.port}`, `127.0.0.1:${closedPort}`, "nowhere.invalid:80"],
    });
  }, timeoutMs);

  afterAll(async () => {
    echo?.[Symbol.dispose]();
    flood?.[Symbol.dispose]();
    await stack?.[Symbol.asyncDispose]();
  }, timeoutMs);

  async function portal(
    name: string,
    { host = "127.0.0.1", port: targetPort }: { host?: string; port: number },
    change: object = {},
  ): Promise<number> {
    const port = freePort();
    const made = await stack.api.call<PortalView>("POST", "/portals", {
      customerId: site.customerId,
      name,
      inlet: { agentId: site.agentId, listen: { port } },
      outlet: { agentIds: [backend.agentId], target: { host, port: targetPort } },
      ...change,
    });
    await running(made.id);
    return port;
  }

  async function running(id: string): Promise<void> {
    await eventually("both nodes run the portal", async () => {
      const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${id}`);
      return nodes.length >= 2 && nodes.every(({ inSync }) => inSync);
    });
  }

  async function received(connection: TestConnection, lengthBytes: number): Promise<Uint8Array> {
    await eventually(`${lengthBytes} bytes have come`, () => connection.receivedBytes >= lengthBytes, { everyMs: 5 });
    return Buffer.concat(connection.received);
  }

  test(
    "bytes go to the service and back, many and at once, whole and in order",
    async () => {
      const port = await portal("echo", echo);
      const sizes = [1, 1_000, 300_000, 5_000_000];
      await Promise.all(
        sizes.map(async (size) => {
          const sent = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)));
          const whole = Buffer.concat(Array.from({ length: Math.ceil(size / sent.length) }, () => sent)).subarray(
            0,
            size,
          );
          const connection = await connectTo(port);
          void connection.write(whole);
          expect(Buffer.compare(await received(connection, size), whole)).toBe(0);
          connection.end();
          expect(await connection.ended).toBe("fin");
        }),
      );
    },
    timeoutMs,
  );

  test(
    "the first bytes come back at once when the channel is open",
    async () => {
      const port = await portal("fast", echo);
      const warm = await connectTo(port);
      void warm.write("x");
      await received(warm, 1);
      const took: number[] = [];
      for (let count = 0; count < 20; count++) {
        const beganMs = performance.now();
        const connection = await connectTo(port);
        void connection.write("y");
        while (connection.receivedBytes === 0) await new Promise<void>((resolve) => setImmediate(resolve));
        took.push(performance.now() - beganMs);
        connection.end();
      }
      expect(took.toSorted((a, b) => a - b)[10] ?? 1_000).toBeLessThan(50);
    },
    timeoutMs,
  );

  test(
    "half-close and reset are carried over in both directions",
    async () => {
      const port = await portal("half", echo);
      const connection = await connectTo(port);
      void connection.write("half");
      await received(connection, 4);
      connection.reset();
      const [served] = echo.connections.slice(-1);
      expect(await served?.closed).toBe("reset");
      const other = await connectTo(port);
      void other.write("z");
      await received(other, 1);
      echo.connections.at(-1)?.reset();
      expect(await other.closed).toBe("reset");
    },
    timeoutMs,
  );

  test(
    "what the service says after the client's FIN still comes",
    async () => {
      const port = await portal("late", echo);
      const connection = await connectTo(port);
      const big = new Uint8Array(2_000_000).fill(7);
      void connection.write(big);
      connection.end();
      expect((await received(connection, big.length)).length).toBe(big.length);
      expect(await connection.ended).toBe("fin");
    },
    timeoutMs,
  );

  test(
    "a service that refuses, is unknown, or is not on the site's list closes the client promptly and tells the operator why",
    async () => {
      const cases: [string, { host?: string; port: number }, string][] = [
        ["refusing", { port: closedPort }, "system_unavailable"],
        ["unknown", { host: "nowhere.invalid", port: 80 }, "system_unavailable"],
        ["unlisted", { port: freePort() }, "not_allowed_here"],
      ];
      for (const [name, target, code] of cases) {
        const port = await portal(name, target);
        const beganMs = performance.now();
        const connection = await connectTo(port);
        expect(await connection.closed).toBe("reset");
        expect(performance.now() - beganMs).toBeLessThan(5_000);
        for (const node of [site, backend]) {
          const { portals: all } = await node.site.status();
          expect(all.find((one) => one.name === name)).toMatchObject({ refused: 1, last: { code } });
        }
      }
    },
    timeoutMs,
  );

  test(
    "a client that reads nothing stops the service's socket, and nothing else",
    async () => {
      const stalled = await connectTo(await portal("flood", flood));
      stalled.socket?.pause();
      let before = -1;
      await eventually(
        "the service can't send any more",
        () => {
          const still = floodedBytes === before && floodedBytes > 0;
          before = floodedBytes;
          return still;
        },
        { everyMs: 500 },
      );
      expect(floodedBytes).toBeLessThan(48 * 1024 * 1024);
      const beside = await connectTo(await portal("beside", echo));
      const sent = new Uint8Array(3_000_000).fill(9);
      void beside.write(sent);
      expect((await received(beside, sent.length)).length).toBe(sent.length);
      const stoppedAt = floodedBytes;
      stalled.socket?.resume();
      await eventually("it goes on", () => floodedBytes > stoppedAt + 16 * 1024 * 1024);
      stalled.reset();
    },
    timeoutMs,
  );

  test(
    "an inlet may be a Unix socket in a directory of the site's list, and nowhere else",
    async () => {
      const path = join(site.site.exchange, "db.sock");
      const { inlet, outlet } = {
        inlet: { agentId: site.agentId, listen: { unix: path } },
        outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: echo.port } },
      };
      const made = await stack.api.call<PortalView>("POST", "/portals", {
        customerId: site.customerId,
        name: "unix",
        inlet,
        outlet,
      });
      await running(made.id);
      const connection = await connectTo(path);
      void connection.write("unix");
      expect(Buffer.from(await received(connection, 4)).toString()).toBe("unix");
      const elsewhere = { ...inlet, listen: { unix: join(stack.directory, "elsewhere.sock") } };
      const refused = await stack.api.call<PortalView>("POST", "/portals", {
        customerId: site.customerId,
        name: "unix-2",
        inlet: elsewhere,
        outlet,
      });
      await eventually("the node says why not", async () => {
        const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${refused.id}`);
        return nodes.some(({ actual }) => actual?.code === "not_allowed_here");
      });
    },
    timeoutMs,
  );

  test(
    "a portal with several outlet nodes uses one that lives; one that died without a word is passed over within 2 s",
    async () => {
      const spare = await stack.addAgent({
        name: "spare",
        customerId: site.customerId,
        allow: [`127.0.0.1:${echo.port}`],
      });
      const agentIds = [backend.agentId, spare.agentId];
      const port = await portal("several", echo, {
        outlet: { agentIds, target: { host: "127.0.0.1", port: echo.port } },
      });
      const served = async (node: typeof spare) => {
        const { portals: all } = await node.site.status();
        return all.find(({ name }) => name === "several")?.total ?? 0;
      };
      const open = await Promise.all(Array.from({ length: 6 }, () => connectTo(port)));
      for (const connection of open) {
        void connection.write("several");
        expect(Buffer.from(await received(connection, 7)).toString()).toBe("several");
      }
      const [first, second] = (await served(spare)) > 0 ? [spare, backend] : [backend, spare];
      const { pid } = first.site.program;
      if (pid === undefined) throw new TypeError("it runs");
      process.kill(pid, "SIGSTOP"); // it says nothing any more, and its tunnel is not known to be dead
      const beganMs = performance.now();
      const connection = await connectTo(port);
      void connection.write("again");
      await received(connection, 5);
      expect(performance.now() - beganMs).toBeLessThan(2_000);
      expect(await served(second)).toBeGreaterThan(0);
      process.kill(pid, "SIGCONT");
      for (const one of [...open, connection]) one.reset();
    },
    timeoutMs,
  );

  test(
    "a portal that is deleted, and a node that is revoked, end what is open",
    async () => {
      const port = await portal("going", echo);
      const connection = await connectTo(port);
      void connection.write("a");
      await received(connection, 1);
      const { items } = await stack.api.call<{ items: { id: string; name: string }[] }>("GET", "/portals?limit=200");
      const id = items.find(({ name }) => name === "going")?.id ?? "";
      await stack.api.call("DELETE", `/portals/${id}`);
      expect(await connection.closed).toBe("reset");
      await eventually("nobody listens any more", async () => {
        const again = await connectTo(port).catch(() => undefined);
        return again === undefined;
      });
      const { agentId } = await stack.addAgent({
        name: "short-lived",
        customerId: site.customerId,
        allow: [`127.0.0.1:${echo.port}`],
      });
      const other = await portal("revoked", echo, {
        outlet: { agentIds: [agentId], target: { host: "127.0.0.1", port: echo.port } },
      });
      const live = await connectTo(other);
      void live.write("b");
      await received(live, 1);
      const beganMs = performance.now();
      await stack.api.revoke(agentId);
      expect(await live.closed).toBe("reset");
      expect(performance.now() - beganMs).toBeLessThan(5_000);
    },
    timeoutMs,
  );
}

describe("portals, one process with the embedded broker", () => portals("embedded"));
needs("nats-server", "apt-get install nats-server")("portals, NATS and two replicas of Nexus", () =>
  portals("nats", 2),
);
