import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../../support/free-port.ts";
import { Stack } from "../../../support/stack.ts";
import type { BenchSettings } from "../../bench-settings.ts";
import { atMost, type Figure } from "../../figure.ts";
import { runAgents } from "../../load/run-agents.ts";
import { residentBytes } from "../../resident-bytes.ts";

const pairsWanted = 1_000;
const atOnce = 16;
const idleMs = 60_000;

/** What 2,000 tunnels and 1,000 relayed wires between them cost a Nexus, over one that has nothing to do. */
export async function portalMemory(
  note: (text: string) => void,
  { enrollMsMax }: BenchSettings,
): Promise<readonly Figure[]> {
  await using stack = await Stack.start({
    broker: "nats",
    environment: {
      solaris: { SOLARIS_LOG_LEVEL: "warn" },
      nexus: { NEXUS_LOG_LEVEL: "warn", NEXUS_ADMISSION_PER_SECOND: "5000", NEXUS_TRUSTED_PROXIES: "127.0.0.1" },
    },
  });
  const door = {
    solaris: stack.origin,
    gatewayKey: readFileSync(join(stack.directory, "gateway-key"), "utf8").trim(),
  };
  const { customerId } = await stack.api.createCustomer();
  const created = await inTurns(pairsWanted * 2 + 50, (index) =>
    stack.api.createAgent(customerId, { name: `agent ${index}` }),
  );
  const tokens = created.map(({ token }) => token);
  await using warm = await runAgents(tokens.slice(-50), door, enrollMsMax);
  await using agents = await runAgents(tokens.slice(0, -50), door, enrollMsMax);
  const pairs = Math.floor(agents.count / 2);
  note(`${agents.count} of ${pairsWanted * 2} nodes enrolled`);
  await inTurns(pairs, (pair) =>
    stack.api.call("POST", "/portals", {
      customerId,
      name: `portal-${pair}`,
      inlet: { agentId: created[pair * 2]?.agentId, listen: { port: freePort() } },
      outlet: { agentIds: [created[pair * 2 + 1]?.agentId], target: { host: "127.0.0.1", port: 1 } },
    }),
  );
  await warm.open();
  const { pid } = stack.gateway;
  const idleBytes = residentBytes(pid);
  await agents.open();
  const openBytes = residentBytes(pid);
  await agents.openRelays();
  const relayedBytes = residentBytes(pid);
  await Bun.sleep(idleMs);
  const restBytes = residentBytes(pid);
  const megabytes = (bytes: number) => ((bytes - idleBytes) / 1e6).toFixed(1);
  note(
    `over ${(idleBytes / 1e6).toFixed(0)} MB: ${megabytes(openBytes)} MB with the tunnels, ${megabytes(relayedBytes)} MB with the wires, ` +
      `${megabytes(restBytes)} MB after ${idleMs / 1_000} s`,
  );
  return [atMost(`memory of Nexus with ${pairs} relayed pairs`, (restBytes - idleBytes) / 1e6, "MB", 60)];
}

/** Some at once; results in order. */
async function inTurns<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      made[index] = await make(index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return made;
}
