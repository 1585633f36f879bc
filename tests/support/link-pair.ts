import type { Clock } from "#lib/clock";
import { acceptLink, type Link, type LinkOptions, openLink } from "#lib/link";
import { type MemoryWireOptions, type MemoryWirePair, memoryWirePair } from "#lib/wire";
import { ChannelWorld, sessionTerms, type TestNode } from "./channel-world.ts";

export interface LinkPair {
  readonly world: ChannelWorld;
  readonly edge: TestNode;
  readonly nexus: TestNode;
  readonly wires: MemoryWirePair;
  /** The agent's end. */
  readonly a: Link;
  /** The end at Nexus. */
  readonly b: Link;
}

export interface LinkPairOptions {
  readonly clock: Clock;
  readonly wires?: MemoryWireOptions;
  readonly a?: Partial<LinkOptions>;
  readonly b?: Partial<LinkOptions>;
}

/** A session link between an edge node and a Nexus over a memory wire. */
export async function linkPair({ clock, wires: wireOptions, a, b }: LinkPairOptions): Promise<LinkPair> {
  const world = await ChannelWorld.create(clock);
  const [edge, nexus] = [await world.node("edge"), await world.node("nexus")];
  const wires = memoryWirePair(wireOptions);
  const terms = sessionTerms(edge);
  const [opened, accepted] = await Promise.all([
    openLink(wires.a, { ...world.options(edge, terms), ...a }),
    acceptLink(wires.b, { ...world.options(nexus, terms), ...b }),
  ]);
  return { world, edge, nexus, wires, a: opened, b: accepted };
}
