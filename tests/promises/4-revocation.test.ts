import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { needs } from "../support/needs.ts";
import type { Stack } from "../support/stack.ts";
import { connectTo, type TestConnection } from "../support/tcp-peers.ts";
import { portalStack, pour } from "./portal-stack.ts";

setDefaultTimeout(30_000);

const withinMs = 5_000;
const timeoutMs = 90_000;

/** Promise 4: a revocation ends every live stream of the identity within 5 s, and survives a restart of Nexus. */
function revokes(broker: "embedded" | "nats", nexusReplicas: number): void {
  test(
    `a revoked node loses every stream in 5 s, and a restart of Nexus brings none back (${broker})`,
    async () => {
      await using world = await portalStack({ broker, nexusReplicas });
      const { stack, site, backend, echo, flood } = world;
      const bystander = await stack.addAgent({ name: "bystander", customerId: site.customerId });
      const [there, back, fast, beside] = [
        await world.portal("there", site, backend, echo),
        await world.portal("back", backend, site, echo),
        await world.portal("fast", site, backend, flood),
        await world.portal("beside", bystander, site, echo),
      ];
      // Idle both ways, saturated both ways, and one whose reader stands still.
      const live: TestConnection[] = [];
      for (const port of [there, there, back]) {
        const connection = await connectTo(port);
        await connection.write("here");
        await eventually("it is through", () => connection.receivedBytes === 4);
        live.push(connection);
      }
      const [up, down, stalled] = [await connectTo(back), await connectTo(fast), await connectTo(fast)];
      void pour(up);
      await eventually("they flow", () => up.receivedBytes > 1e6 && down.receivedBytes > 1e6);
      stalled.socket?.pause();
      live.push(up, down);
      const other = await connectTo(beside);
      await other.write("beside");
      await eventually("the bystander's is through", () => other.receivedBytes === 6);

      const beganMs = performance.now();
      const ended = Promise.all(live.map(async ({ closed }) => [await closed, performance.now() - beganMs] as const));
      await stack.api.revoke(backend.agentId);
      const ends = await ended;
      const lastMs = Math.max(...ends.map(([, ms]) => ms));
      console.log(`${broker}: streams ended after ${ends.map(([, ms]) => Math.round(ms)).join(", ")} ms`);
      expect(ends.map(([end]) => end)).toEqual(live.map(() => "reset"));
      expect(lastMs).toBeLessThan(withinMs);
      stalled.socket?.resume(); // what lay in the system's own buffers comes first
      expect(await stalled.closed).toBe("reset");
      await stack.online(backend.agentId, false, withinMs);
      await other.write("still");
      await eventually("nobody else is touched", () => other.receivedBytes === 11);

      await stack.gateway.kill();
      await stack.startGateway();
      await stack.online(site.agentId);
      const before = await refusals(stack, backend.agentId);
      await eventually(
        "the node has tried again, in vain",
        async () => (await refusals(stack, backend.agentId)) > before,
        { timeoutMs: 60_000, everyMs: 200 },
      );
      expect((await stack.api.status(backend.agentId)).online).toBe(false);
      const again = await connectTo(there).catch(() => undefined); // reset already, or a moment later
      void again?.write("again");
      expect(await again?.closed).not.toBe("fin");
      expect(again?.receivedBytes ?? 0).toBe(0);
    },
    timeoutMs,
  );
}

/** Openings of the agent that were refused because it is revoked. */
async function refusals({ api }: Stack, agentId: string): Promise<number> {
  const { items } = await api.call<{ items: { code: string; count: number; verified: boolean }[] }>(
    "GET",
    `/agents/${agentId}/refusals`,
  );
  return items.filter((one) => one.verified && one.code === "revoked").reduce((sum, { count }) => sum + count, 0);
}

revokes("embedded", 1);
needs("nats-server", "apt-get install nats-server")("NATS and two replicas of Nexus", () => revokes("nats", 2));
