import { eventually } from "../../../support/eventually.ts";
import { freePort } from "../../../support/free-port.ts";
import type { MercurySite } from "../../../support/mercury-site.ts";
import { Stack } from "../../../support/stack.ts";

/** Two nodes of one customer and a Nexus between them, each a process of its own. */
export interface PortalStack extends AsyncDisposable {
  readonly stack: Stack;
  /** Has the inlets. */
  readonly site: MercurySite;
  /** Has the outlets. */
  readonly backend: MercurySite;
  /** Makes a TCP portal to a port that the stack was made for; where it listens. */
  portalTo(targetPort: number): Promise<number>;
  /** Stops both Mercurys and starts them again; resolves when both are online. */
  restartNodes(): Promise<void>;
}

export async function portalStack(targetPorts: readonly number[]): Promise<PortalStack> {
  const stack = await Stack.start({
    broker: "nats",
    environment: { solaris: { SOLARIS_LOG_LEVEL: "warn" }, nexus: { NEXUS_LOG_LEVEL: "warn" } },
  });
  try {
    const site = await stack.addAgent({ name: "site" });
    const { customerId } = site;
    const allow = targetPorts.map((port) => `127.0.0.1:${port}`);
    const backend = await stack.addAgent({ name: "backend", customerId, allow });
    return {
      stack,
      site: site.site,
      backend: backend.site,
      async portalTo(targetPort) {
        const port = freePort();
        const { id } = await stack.api.call<{ id: string }>("POST", "/portals", {
          customerId,
          name: `to-${targetPort}`,
          inlet: { agentId: site.agentId, listen: { port } },
          outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: targetPort } },
        });
        await eventually("both nodes run the portal", async () => {
          const { nodes } = await stack.api.call<{ nodes: { inSync: boolean }[] }>("GET", `/portals/${id}`);
          return nodes.every(({ inSync }) => inSync);
        });
        return port;
      },
      async restartNodes() {
        const nodes = [site.site, backend.site];
        await Promise.all(nodes.map(({ program }) => program.stop()));
        for (const node of nodes) node.start();
        await Promise.all(nodes.map(({ program }) => program.until(/"online"/)));
      },
      [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}
