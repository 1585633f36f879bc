import { countCpu } from "../../cpu-time.ts";
import { type Figure, timesPeer } from "../../figure.ts";
import { type IperfSettings, iperf } from "../../load/iperf.ts";
import { median } from "../../median.ts";
import type { PortalStack } from "./portal-stack.ts";

const seconds = 3;
const rounds = 2;
const loads = [
  { name: "portal, one TCP stream up", direction: "up", streams: 1 },
  { name: "portal, one TCP stream down", direction: "down", streams: 1 },
  { name: "portal, eight TCP streams up", direction: "up", streams: 8 },
] as const;

/** Bytes through the portal, beside the same through the peer, in turns. */
export async function streams(
  { stack }: PortalStack,
  serverPort: number,
  ports: { readonly ours: number; readonly peer: number | undefined },
  note: (text: string) => void,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, ...load } of loads) {
    const [ours, peers]: [number[], number[]] = [[], []];
    const run = (clientPort: number): Promise<number> => {
      const settings: IperfSettings = { ...load, serverPort, clientPort, seconds };
      return iperf(settings);
    };
    for (let round = 0; round < rounds; round++) {
      if (ports.peer !== undefined) peers.push(await run(ports.peer));
      const used = countCpu(stack);
      const reached = await run(ports.ours);
      ours.push(reached);
      const megabytes = (reached * 1e9 * (seconds + 1)) / 8e6;
      if (round === rounds - 1) note(`${name}: µs of processor time a megabyte: ${used(megabytes)}`);
    }
    note(`${name}, Gbit/s: ${shown(ours)}; through the peer ${shown(peers)}`);
    figures.push(timesPeer(name, median(ours), "Gbit/s", peers.length === 0 ? undefined : median(peers), 1));
  }
  return figures;
}

const shown = (values: readonly number[]) => values.map((value) => value.toFixed(2)).join(", ") || "not measured";
