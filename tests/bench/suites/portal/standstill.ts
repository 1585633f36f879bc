import { eventually } from "../../../support/eventually.ts";
import { atMost, type Figure } from "../../figure.ts";
import { median } from "../../median.ts";
import type { PortalStack } from "./portal-stack.ts";

const kills = 5;
const tickMs = 5;
const flowBytes = 6_400;

/**
 * How long a stream stands still when Nexus is killed and started again at once. Both Mercurys are started anew before each kill: one that loses its
 * tunnel again within a minute waits longer each time, as it should.
 */
export async function standstill(bench: PortalStack, port: number, note: (text: string) => void): Promise<Figure[]> {
  const pauses: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    await bench.restartNodes();
    pauses.push((await pauseMs(bench, port)) / 1_000);
  }
  note(`a stream stood still for ${pauses.map((pause) => pause.toFixed(2)).join(", ")} s`);
  return [atMost("stream's standstill, Nexus killed and restarted, p50", median(pauses), "s", 3)];
}

async function pauseMs({ stack }: PortalStack, port: number): Promise<number> {
  let [receivedBytes, lastMs, longestMs] = [0, performance.now(), 0];
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined); // told where it is raced
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, bytes) {
        const now = performance.now();
        longestMs = Math.max(longestMs, now - lastMs);
        lastMs = now;
        receivedBytes += bytes.length;
      },
      close: () => ended.reject(new RangeError("the connection did not outlive Nexus")),
      error: () => undefined,
    },
  });
  const ticking = setInterval(() => socket.write("x".repeat(64)), tickMs);
  const flows = async () => {
    const enough = receivedBytes + flowBytes;
    const flowed = eventually("bytes flow", () => receivedBytes > enough, { everyMs: 5, timeoutMs: 60_000 });
    await Promise.race([ended.promise, flowed]);
  };
  try {
    await flows();
    longestMs = 0;
    await stack.gateway.kill();
    await stack.startGateway();
    await flows();
    return longestMs;
  } finally {
    clearInterval(ticking);
    socket.terminate();
  }
}
