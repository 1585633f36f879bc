import { describe, expect, test } from "bun:test";
import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { acceptLink, type Link, openLink } from "#lib/link";
import { systemClock } from "#lib/runtime";
import { memoryWirePair, type Path } from "#lib/wire";
import { ChannelWorld, e2eTerms, random, type TestNode } from "../support/channel-world.ts";
import { withBitTurned } from "../support/octets.ts";

/** Handshake messages of one direction before the first record: 2 from the initiator, 1 from the responder. */
const handshakeUp = 2;

interface Ends {
  readonly a: Link;
  readonly b: Link;
}

async function faultOf(opening: Promise<unknown>): Promise<string> {
  try {
    await opening;
    return "no fault";
  } catch (error) {
    return (error as Fault).code;
  }
}

async function pair(world: ChannelWorld, a: TestNode, b: TestNode, up?: Path): Promise<Ends> {
  const wires = memoryWirePair(up === undefined ? {} : { aToB: up });
  const terms = e2eTerms(a, b);
  const [opened, accepted] = await Promise.all([
    openLink(wires.a, world.options(a, terms)),
    acceptLink(wires.b, { ...world.options(b, terms), accepts: () => true }),
  ]);
  return { a: opened, b: accepted };
}

/** Writes numbered bytes on one stream through a hostile path; what came out, and why the link ended. */
async function through(path: Path): Promise<{ sent: Bytes; got: number[]; code: string }> {
  const world = await ChannelWorld.create(systemClock);
  const [a, b] = [await world.node("edge"), await world.node("gateway")];
  const links = await pair(world, a, b, path);
  const got: number[] = [];
  links.b.onStream((stream) => {
    stream.flowInto({ data: (bytes) => void got.push(...bytes), ended: () => undefined, failed: () => undefined });
  });
  const stream = links.a.open();
  const sent = random(64 * 40);
  const write = async () => {
    for (let at = 0; at < sent.length; at += 64) {
      await stream.write(sent.slice(at, at + 64));
      await new Promise<void>((resolve) => systemClock.after(0, resolve)); // a record of its own
    }
  };
  write().catch(() => undefined); // the link ends under it
  const { code } = await links.b.closed;
  return { sent, got, code };
}

describe("a relay that", () => {
  const hostile: [string, Path, string[]][] = [
    [
      "turns a bit",
      (message, index) => [{ message: index === 9 ? withBitTurned(message, 20, 3) : message }],
      ["crypto"],
    ],
    ["drops a record", (message, index) => (index === 9 ? [] : [{ message }]), ["record_order"]],
    [
      "repeats a record",
      (message, index) => (index === 9 ? [{ message }, { message: message.slice() }] : [{ message }]),
      ["record_order"],
    ],
    [
      "cuts a record short",
      (message, index) => [{ message: index === 9 ? message.slice(0, -1) : message }],
      ["crypto"],
    ],
    [
      "makes a record up",
      (message, index) => [{ message: index === 9 ? random(message.length) : message }],
      ["malformed", "crypto", "record_order"],
    ],
    [
      "says that the handshake begins anew",
      (message, index) => [{ message: index === 9 ? new Uint8Array([1, 2, 3]) : message }],
      ["malformed"],
    ],
    [
      "relays inside the relay",
      (message, index) => [{ message: index === 9 ? new Uint8Array([3, 0, 0, 0, 1, 2]) : message }],
      ["malformed"],
    ],
  ];
  for (const [what, path, codes] of hostile)
    test(`${what} ends the channel and alters nothing`, async () => {
      const { sent, got, code } = await through((message, index) => path(message, index - handshakeUp));
      expect(codes).toContain(code);
      expect(got).toEqual([...sent.slice(0, got.length)]);
      expect(got.length).toBeLessThan(sent.length);
    });

  test("reorders within the window alters nothing", async () => {
    let kept: Bytes | undefined;
    const path: Path = (message, index) => {
      if (index < handshakeUp + 5) return [{ message }];
      if (kept === undefined && index % 2 === 1) {
        kept = message;
        return [];
      }
      const before = kept;
      kept = undefined;
      return before === undefined ? [{ message }] : [{ message }, { message: before }];
    };
    const world = await ChannelWorld.create(systemClock);
    const [a, b] = [await world.node("edge"), await world.node("gateway")];
    const links = await pair(world, a, b, path);
    const got: number[] = [];
    const { promise: done, resolve: ended } = Promise.withResolvers<void>();
    links.b.onStream((stream) => {
      stream.flowInto({ data: (bytes) => void got.push(...bytes), ended, failed: () => ended() });
    });
    const stream = links.a.open();
    const sent = random(64 * 40);
    for (let at = 0; at < sent.length; at += 64) {
      await stream.write(sent.slice(at, at + 64));
      await new Promise<void>((resolve) => systemClock.after(0, resolve));
    }
    stream.end();
    links.a.probe(); // another record behind the last one, should that wait for its successor
    links.a.goaway("draining");
    await done;
    expect(got).toEqual([...sent]);
    await links.a.close("closed");
  });

  test("swaps two pairs joins nobody: each node finds another than it asked for, or ends", async () => {
    const world = await ChannelWorld.create(systemClock);
    const [a, b, c, d] = await Promise.all(
      ["edge", "gateway", "edge", "gateway"].map((role) => world.node(role as "edge")),
    );
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new TypeError("four nodes");
    // a asked for b and c for d; the relay leads a to d and c to b.
    const [first, second] = [memoryWirePair(), memoryWirePair()];
    const [ab, cd] = [e2eTerms(a, b), e2eTerms(c, d)];
    const codes = await Promise.all([
      faultOf(openLink(first.a, world.options(a, ab))),
      faultOf(acceptLink(first.b, { ...world.options(d, cd), accepts: () => true })),
      faultOf(openLink(second.a, world.options(c, cd))),
      faultOf(acceptLink(second.b, { ...world.options(b, ab), accepts: () => true })),
    ]);
    expect(codes).not.toContain("no fault");
  });

  test("swaps the records of two pairs ends both", async () => {
    const world = await ChannelWorld.create(systemClock);
    const [a, b, c, d] = await Promise.all(
      ["edge", "gateway", "edge", "gateway"].map((role) => world.node(role as "edge")),
    );
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new TypeError("four nodes");
    const held: Bytes[] = [];
    const keep: Path = (message, index) => {
      if (index !== handshakeUp) return [{ message }];
      held.push(message);
      return [];
    };
    const swap: Path = (message, index) =>
      index === handshakeUp ? held.splice(0).map((other) => ({ message: other })) : [{ message }];
    const one = await pair(world, a, b, keep);
    const two = await pair(world, c, d, swap);
    one.a.open();
    while (held.length === 0) await new Promise<void>((resolve) => systemClock.after(1, resolve));
    two.a.open();
    expect((await two.b.closed).code).toBe("crypto");
    one.a.probe();
    expect((await one.b.closed).code).toBe("record_order");
  });

  test("offers a node under another's identifier is found out by the node that is offered", async () => {
    const world = await ChannelWorld.create(systemClock);
    const [a, b, mallory] = [await world.node("edge"), await world.node("gateway"), await world.node("edge")];
    const wires = memoryWirePair();
    const binding = random(16);
    const codes = await Promise.all([
      faultOf(openLink(wires.a, world.options(mallory, e2eTerms(mallory, b, binding)))),
      faultOf(acceptLink(wires.b, { ...world.options(b, e2eTerms(a, b, binding)), accepts: () => true })),
    ]);
    expect(codes).not.toContain("no fault");
    // Mallory even says that it is a: the prologue agrees, its own chain does not.
    const again = memoryWirePair();
    const lied = await Promise.all([
      faultOf(openLink(again.a, world.options(mallory, e2eTerms(a, b, binding)))),
      faultOf(acceptLink(again.b, { ...world.options(b, e2eTerms(a, b, binding)), accepts: () => true })),
    ]);
    expect(lied[1]).toBe("identity_unexpected");
  });

  test("stands in itself, with its own credential of a Nexus, is refused at both ends", async () => {
    const world = await ChannelWorld.create(systemClock);
    const [a, b, nexus] = [await world.node("edge"), await world.node("gateway"), await world.node("nexus")];
    const wires = memoryWirePair();
    const terms = e2eTerms(nexus, b);
    const codes = await Promise.all([
      faultOf(
        openLink(wires.a, world.options(nexus, terms)).then((link) =>
          link.closed.then((fault) => Promise.reject(fault)),
        ),
      ),
      faultOf(acceptLink(wires.b, { ...world.options(b, terms), accepts: () => true })),
    ]);
    expect(codes[1]).toBe("forbidden");
    const back = memoryWirePair();
    const towards = e2eTerms(a, nexus);
    const [asked] = await Promise.all([
      faultOf(openLink(back.a, world.options(a, towards))),
      faultOf(acceptLink(back.b, { ...world.options(nexus, towards), accepts: () => true })),
    ]);
    expect(asked).toBe("forbidden");
  });

  test("leads a node that no portal names is refused by the node that it leads to", async () => {
    const world = await ChannelWorld.create(systemClock);
    const [a, b] = [await world.node("edge"), await world.node("gateway")];
    const wires = memoryWirePair();
    const terms = e2eTerms(a, b);
    const [, refused] = await Promise.all([
      faultOf(openLink(wires.a, world.options(a, terms))),
      faultOf(acceptLink(wires.b, { ...world.options(b, terms), accepts: () => false })),
    ]);
    expect(refused).toBe("identity_unexpected");
  });
});
