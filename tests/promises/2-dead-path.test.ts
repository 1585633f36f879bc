import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { needs } from "../support/needs.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

/** Heartbeats: 5 s between pings, 10 s for the answer; then up to a second until a digest tells Solaris, and the machine's own slowness. */
const noticedMs = 15_000 + 1_000 + 2_500;
const timeoutMs = 120_000;

/** Promise 2: a dead path is noticed in 15 s and shown as dead. */
function noticed(broker: "embedded" | "nats", direction: "up" | "down" | undefined): void {
  const which = direction === undefined ? "neither way" : direction === "up" ? "not to the cloud" : "not to the site";
  test(
    `bytes get through ${which}: both ends show it dead in 15 s, and both come back`,
    async () => {
      await using stack = await Stack.start({ broker, cuttable: true });
      const { agentId, site } = await stack.addAgent();
      const mercury = async () => (await site.status()).tunnel.state;
      await eventually("Mercury is online", async () => (await mercury()) === "online");

      const began = performance.now();
      stack.network.hold(direction);
      const dead = { timeoutMs: 2 * noticedMs, everyMs: 100 };
      const [atSolaris, atMercury] = await Promise.all([
        eventually("Solaris shows it offline", async () => !(await stack.api.status(agentId)).online, dead).then(
          () => performance.now() - began,
        ),
        eventually("Mercury shows it", async () => (await mercury()) !== "online", { ...dead, everyMs: 500 }).then(
          () => performance.now() - began,
        ),
      ]);
      console.log(
        `${broker}, ${which}: Solaris after ${Math.round(atSolaris)} ms, Mercury ${Math.round(atMercury)} ms`,
      );
      expect(atSolaris).toBeLessThan(noticedMs);
      expect(atMercury).toBeLessThan(noticedMs);

      stack.network.release();
      await stack.online(agentId, true, 60_000);
      await eventually("Mercury is online", async () => (await mercury()) === "online");
    },
    timeoutMs,
  );
}

describe.concurrent("a dead path, one process with the embedded broker", () => {
  noticed("embedded", undefined);
  noticed("embedded", "up");
  noticed("embedded", "down");
});
needs("nats-server", "apt-get install nats-server")("a dead path, NATS and a process for each program", () =>
  noticed("nats", undefined),
);
