import { atMostOrTimesPeer, type Figure } from "../../figure.ts";
import { connectTimes, quantile } from "../../load/connect-load.ts";

const turns = 4;
const connectsATurn = 200;

/** From the connect to the first byte echoed, the channel being open; one after the other, in turns with the peer. */
export async function connects(ours: number, peer: number | undefined): Promise<Figure[]> {
  const times: { ours: number[]; peer: number[] } = { ours: [], peer: [] };
  await connectTimes(ours, 50);
  if (peer !== undefined) await connectTimes(peer, 50);
  for (let turn = 0; turn < turns; turn++) {
    times.ours.push(...(await connectTimes(ours, connectsATurn)));
    if (peer !== undefined) times.peer.push(...(await connectTimes(peer, connectsATurn)));
  }
  const figure = (share: number, name: string, target: number) =>
    atMostOrTimesPeer(
      `portal, connect to first byte echoed, ${name}`,
      quantile(times.ours, share),
      "ms",
      peer === undefined ? undefined : quantile(times.peer, share),
      { target, factor: 3 },
    );
  return [figure(0.5, "p50", 1.5), figure(0.99, "p99", 6)];
}
