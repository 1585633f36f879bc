import { eventually } from "../../../support/eventually.ts";
import type { Stack } from "../../../support/stack.ts";
import { atMost, type Figure } from "../../figure.ts";
import { median } from "../../median.ts";

const kills = 5;
const tickMs = 5;

/** How long a stream stands still when Nexus is killed and started again at once. */
export async function standstill(stack: Stack, port: number, note: (text: string) => void): Promise<Figure[]> {
  let [receivedBytes, lastMs, longestMs] = [0, performance.now(), 0];
  const ended = Promise.withResolvers<never>();
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
  ended.promise.catch(() => undefined); // told where it is raced
  const ticking = setInterval(() => socket.write("x".repeat(64)), tickMs);
  const pauses: number[] = [];
  try {
    for (let kill = 0; kill < kills; kill++) {
      const flows = async (bytes: number) => {
        const from = receivedBytes;
        await Promise.race([
          ended.promise,
          eventually("bytes flow", () => receivedBytes > from + bytes, { everyMs: 5, timeoutMs: 60_000 }),
        ]);
      };
      await flows(6_400);
      longestMs = 0;
      await stack.gateway.kill();
      await stack.startGateway();
      await flows(6_400);
      pauses.push(longestMs / 1_000);
    }
  } finally {
    clearInterval(ticking);
    socket.terminate();
  }
  note(`a stream stood still for ${pauses.map((pause) => pause.toFixed(2)).join(", ")} s`);
  return [atMost("stream's standstill, Nexus killed and restarted, p50", median(pauses), "s", 3)];
}
