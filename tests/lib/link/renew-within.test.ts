import { describe, expect, test } from "bun:test";
import { nobleSuite } from "#lib/crypto";
import { clockLeewayMs, renewWithinMs } from "#lib/limits";
import { acceptLink, openLink } from "#lib/link";
import { memoryWirePair } from "#lib/wire";
import { ChannelWorld, sessionTerms } from "#support/channel-world";
import { DrivenClock } from "#support/driven-clock";

/** An agent that was away for longer than its credential lives, at a Nexus whose opening Solaris has just judged. */
async function opened() {
  const clock = new DrivenClock();
  const world = await ChannelWorld.create(clock);
  const [edge, nexus] = [await world.node("edge", { lifeMs: -3_600_000 }), await world.node("nexus")];
  const wires = memoryWirePair();
  const terms = sessionTerms(edge);
  const accepting = acceptLink(wires.b, { ...world.options(nexus, terms), suite: nobleSuite, renewWithinMs });
  const a = await openLink(wires.a, { ...world.options(edge, terms), suite: nobleSuite });
  return { clock, world, edge, a, b: await accepting };
}

/** In small steps, so that pings find their answers. */
async function pass(clock: DrivenClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) await clock.advance(500);
}

describe("a session of a credential that has run out", () => {
  test("goes on once it is renewed", async () => {
    const { clock, world, edge, b } = await opened();
    await pass(clock, renewWithinMs - 1_000);
    await b.renewPeer({ credential: await world.credential(edge.own, "edge") });
    await pass(clock, clockLeewayMs);
    expect(await Promise.race([b.closed, "open"])).toBe("open");
  });

  test("ends when it is not", async () => {
    const { clock, b } = await opened();
    await pass(clock, renewWithinMs + 1_000);
    expect((await b.closed).code).toBe("credential_expired");
  });
});
