import type { Clock } from "#lib/clock";
import { nobleSuite } from "#lib/crypto";
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
  /** Of both credentials; an hour by default. */
  readonly lifeMs?: number;
  readonly a?: Partial<LinkOptions>;
  readonly b?: Partial<LinkOptions>;
}

/**
 * A session link between an edge node and a Nexus over a memory wire. On noble, whose work needs no thread: what a
 * driven clock sets going is done when `advance` returns. `a.suite` and `b.suite` choose otherwise.
 */
export async function linkPair({
  clock,
  wires: wireOptions,
  lifeMs = 3_600_000,
  a,
  b,
}: LinkPairOptions): Promise<LinkPair> {
  const world = await ChannelWorld.create(clock);
  const [edge, nexus] = [await world.node("edge", { lifeMs }), await world.node("nexus", { lifeMs })];
  const wires = memoryWirePair(wireOptions);
  const terms = sessionTerms(edge);
  const [opened, accepted] = await Promise.all([
    openLink(wires.a, { ...world.options(edge, terms), suite: nobleSuite, ...a }),
    acceptLink(wires.b, { ...world.options(nexus, terms), suite: nobleSuite, ...b }),
  ]);
  return { world, edge, nexus, wires, a: opened, b: accepted };
}
