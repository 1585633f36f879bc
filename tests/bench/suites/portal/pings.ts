import type { Socket } from "bun";
import type { MercurySite } from "../../../support/mercury-site.ts";
import { atMostOver, type Figure } from "../../figure.ts";
import { quantile } from "../../load/connect-load.ts";

const watchedMs = 4_000;
const everyMs = 25;

/**
 * The round trip of the tunnels' own pings (promise 8), as both Mercurys tell it: idle but for a few bytes, while one stream of a portal is as fast as it
 * can be, and while one is stuck because its reader reads nothing.
 */
export async function pings(
  nodes: readonly MercurySite[],
  port: number,
  note: (text: string) => void,
): Promise<Figure[]> {
  const trickle = await begin(port, { reads: true });
  const ticking = setInterval(() => trickle.write("x"), 50);
  try {
    const idle = await roundTrips(nodes);
    const fast = await begin(port, { reads: true, floods: true });
    const saturated = await roundTrips(nodes);
    fast.terminate();
    const stuck = await begin(port, { reads: false, floods: true });
    const stalled = await roundTrips(nodes);
    stuck.terminate();
    const shown = (times: readonly number[]) =>
      `${quantile(times, 0.5).toFixed(1)} / ${quantile(times, 0.99).toFixed(1)}`;
    note(`ping, p50 / p99 ms: idle ${shown(idle)}, saturated ${shown(saturated)}, stalled ${shown(stalled)}`);
    const figure = (name: string, times: readonly number[]) =>
      atMostOver(`tunnel's ping, one stream ${name}, p99`, quantile(times, 0.99), "ms", quantile(idle, 0.99), 50);
    return [figure("saturated", saturated), figure("stalled", stalled)];
  } finally {
    clearInterval(ticking);
    trickle.terminate();
  }
}

/** What the nodes say while `watchedMs` pass. */
async function roundTrips(nodes: readonly MercurySite[]): Promise<number[]> {
  const times: number[] = [];
  const until = performance.now() + watchedMs;
  while (performance.now() < until) {
    for (const node of nodes) {
      const { rttMs } = (await node.status()).tunnel;
      if (rttMs !== undefined) times.push(rttMs);
    }
    await Bun.sleep(everyMs);
  }
  return times;
}

/** A connection to the echo behind the portal; `floods`: sends as fast as it is taken. */
async function begin(port: number, how: { reads: boolean; floods?: boolean }): Promise<Socket> {
  const chunk = new Uint8Array(65_536);
  const fill = (socket: Socket) => {
    while (how.floods === true && socket.write(chunk) === chunk.length);
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { open: fill, drain: fill, data: () => undefined, error: () => undefined },
  });
  if (!how.reads) socket.pause();
  return socket;
}
