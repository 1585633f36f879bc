import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { Stack, type StackOptions } from "../support/stack.ts";
import { serveTcp, type TestConnection, type TestServer } from "../support/tcp-peers.ts";

type Agent = Awaited<ReturnType<Stack["addAgent"]>>;

interface PortalView {
  readonly id: string;
  readonly nodes: readonly { readonly inSync: boolean }[];
}

/** A system with an agent at a site and one beside a backend, of one customer, an echo and a service that floods whoever comes. */
export interface PortalStack extends AsyncDisposable {
  readonly stack: Stack;
  readonly site: Agent;
  readonly backend: Agent;
  readonly echo: TestServer;
  readonly flood: TestServer;
  /** A portal from one to the other; the port of its inlet, once both run it. */
  portal(name: string, from: Agent, to: Agent, target: TestServer): Promise<number>;
}

export async function portalStack(options: StackOptions): Promise<PortalStack> {
  const stack = await Stack.start(options);
  const echo = serveTcp();
  const flood = serveTcp({ open: (connection) => void pour(connection) });
  const end = async () => {
    echo[Symbol.dispose]();
    flood[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
  };
  try {
    const allow = [`127.0.0.1:${echo.port}`, `127.0.0.1:${flood.port}`];
    const site = await stack.addAgent({ name: "site", allow });
    const backend = await stack.addAgent({ name: "backend", customerId: site.customerId, allow });
    return {
      stack,
      site,
      backend,
      echo,
      flood,
      async portal(name, from, to, target) {
        const port = freePort();
        const made = await stack.api.call<PortalView>("POST", "/portals", {
          customerId: site.customerId,
          name,
          inlet: { agentId: from.agentId, listen: { port } },
          outlet: { agentIds: [to.agentId], target: { host: "127.0.0.1", port: target.port } },
        });
        await eventually(`both nodes run ${name}`, async () => {
          const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${made.id}`);
          return nodes.length === 2 && nodes.every(({ inSync }) => inSync);
        });
        return port;
      },
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Writes as fast as it is taken, until the connection is gone. */
export async function pour(connection: TestConnection): Promise<void> {
  for (;;) await connection.write(new Uint8Array(65_536));
}
