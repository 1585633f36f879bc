import { describe, expect, test } from "bun:test";
import { type Bytes, concat, uint64 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import { extendIdentity } from "#lib/identity";
import { channelAgeNoticeMs, clockLeewayMs, closeTimeoutMs, unclaimedStreamMs } from "#lib/limits";
import { acceptLink, type Link, openLink, refuseWire } from "#lib/link";
import { memoryWirePair } from "#lib/wire";
import { ChannelWorld, random, sessionTerms } from "#support/channel-world";
import { DrivenClock } from "#support/driven-clock";
import { expectFault } from "#support/faults";
import { linkPair } from "#support/link-pair";
import { pattern, readAll } from "#support/mux-pair";

/** Sends back what comes, until the peer ends. */
function echo(link: Link): void {
  link.onStream((stream) => {
    const work = async () => {
      for (let piece = await stream.read(); piece !== null; piece = await stream.read()) await stream.write(piece);
      stream.end();
    };
    work().catch(() => undefined); // reset: the other side knows
  });
}

async function expectClosed(link: Link, code: FaultCode): Promise<Fault> {
  const fault = await link.closed;
  expect(fault.code).toBe(code);
  return fault;
}

describe("a link", () => {
  test("echoes on many streams at once, of both sides", async () => {
    const suite = webSuite;
    const { a, b } = await linkPair({ clock: new DrivenClock(), a: { suite }, b: { suite } });
    for (const link of [a, b]) echo(link);
    const sizes = [1, 100, 5_000, 70_000, 300_000];
    const work = [a, b].flatMap((link) =>
      sizes.map(async (size) => {
        const stream = link.open();
        void stream.write(pattern(size, size)).then(() => stream.end());
        expect(Buffer.from(await readAll(stream)).equals(Buffer.from(pattern(size, size)))).toBe(true);
      }),
    );
    await Promise.all(work);
    expect(b.traffic.receivedBytes).toBeGreaterThan(2 * sizes.reduce((sum, size) => sum + size));
  });

  test("knows its peer and shares a hash with it", async () => {
    const { a, b, edge, nexus } = await linkPair({ clock: new DrivenClock() });
    expect(a.peer.identity.identifier).toBe(nexus.own.identity.identifier);
    expect(b.peer.identity.identifier).toBe(edge.own.identity.identifier);
    expect(a.handshakeHash).toEqual(b.handshakeHash);
  });

  test("gives streams that came early to a handler named late, and refuses them when there is none", async () => {
    const clock = new DrivenClock();
    const { a, b } = await linkPair({ clock });
    const [early, never] = [a.open(), b.open()];
    await early.write(pattern(3));
    await never.write(pattern(3));
    await clock.advance(100);
    const taken = new Promise<Bytes | null>((resolve) => b.onStream((stream) => void stream.read().then(resolve)));
    expect(await taken).toEqual(pattern(3));
    const refused = expectFault(never.read(), "stream_reset");
    await clock.advance(unclaimedStreamMs);
    expect((await refused).detail.code).toBe("not_found");
  });

  test("changes keys under traffic", async () => {
    const small = { epochRecords: 3, suite: webSuite };
    const { a, b } = await linkPair({ clock: new DrivenClock(), a: small, b: small });
    echo(b);
    const stream = a.open();
    void stream.write(pattern(2_000_000)).then(() => stream.end());
    expect((await readAll(stream)).length).toBe(2_000_000);
  });

  test("carries relay messages beside the channel", async () => {
    const { a, b } = await linkPair({ clock: new DrivenClock() });
    const message = concat(new Uint8Array([3, 0, 0, 0, 1, 2]), pattern(20));
    const heard = new Promise<Bytes>((resolve) => b.onRelay(resolve));
    a.sendRelay(message);
    expect(await heard).toEqual(message);
    expect(() => a.sendRelay(pattern(5))).toThrow(RangeError);
    b.sendRelay(message); // a has nobody for it
    await expectClosed(a, "malformed");
    await expectClosed(b, "malformed");
  });

  test("tells of a goaway", async () => {
    const { a, b } = await linkPair({ clock: new DrivenClock() });
    const told = new Promise<string>((resolve) => a.onGoaway(resolve));
    b.goaway("draining");
    expect(await told).toBe("draining");
    await expectFault(() => a.open(), "draining");
  });
});

describe("closing", () => {
  test("sends what was written before, tells the peer the code, and ends both", async () => {
    const { a, b } = await linkPair({ clock: new DrivenClock() });
    const got = new Promise<Bytes>((resolve, reject) =>
      b.onStream((stream) => void readAll(stream).then(resolve, reject)),
    );
    const stream = a.open();
    await stream.write(pattern(50_000));
    stream.end();
    await a.close("displaced");
    expect((await got).length).toBe(50_000);
    await expectClosed(a, "displaced");
    await expectClosed(b, "displaced");
    await expectFault(() => a.open(), "displaced");
    await a.close("closed"); // a second time does nothing
  });

  test("does not wait for a peer that takes nothing", async () => {
    const clock = new DrivenClock();
    const { a, wires } = await linkPair({ clock });
    wires.silence();
    void a
      .open()
      .write(new Uint8Array(1_000_000))
      .catch(() => undefined);
    const closing = a.close("draining");
    await clock.advance(2 * closeTimeoutMs);
    await closing;
    expect(clock.waiting).toBeLessThan(10);
  });

  test("a cut wire ends both, with streams told", async () => {
    const { a, b, wires } = await linkPair({ clock: new DrivenClock() });
    const reading = expectFault(a.open().read(), "wire_lost");
    wires.cut();
    await expectClosed(a, "wire_lost");
    await expectClosed(b, "wire_lost");
    await reading;
  });

  test("a dead path ends both within 15 s", async () => {
    const clock = new DrivenClock();
    const { a, b, wires } = await linkPair({ clock });
    wires.silence();
    await clock.advance(15_000);
    await expectClosed(a, "timeout");
    await expectClosed(b, "timeout");
  });

  test("disposing closes, twice too", async () => {
    const { a, b } = await linkPair({ clock: new DrivenClock() });
    await a[Symbol.asyncDispose]();
    await a[Symbol.asyncDispose]();
    await expectClosed(b, "closed");
  });

  test("no timer is left behind", async () => {
    const clock = new DrivenClock();
    const { a, b } = await linkPair({ clock });
    await a.close("closed");
    await b.closed;
    await clock.advance(0);
    expect(clock.waiting).toBe(0);
  });

  test("at its age limit, after a notice to both owners", async () => {
    const clock = new DrivenClock();
    const ageMaxMs = 2 * channelAgeNoticeMs;
    const { a, b } = await linkPair({ clock, a: { ageMaxMs }, b: { ageMaxMs } });
    const notices: string[] = [];
    for (const link of [a, b]) link.onGoaway((code) => notices.push(code));
    await clock.advance(channelAgeNoticeMs);
    expect(notices).toEqual(["draining", "draining"]);
    await clock.advance(channelAgeNoticeMs);
    await expectClosed(a, "closed");
    await expectClosed(b, "closed");
  });
});

describe("a path that misbehaves", () => {
  /** A pair whose path from a to b does this to the n-th record (0 = first after the handshake). */
  async function attacked(record: number, how: (message: Bytes) => readonly Bytes[]) {
    const clock = new DrivenClock();
    const wires = {
      clock,
      aToB: (message: Bytes, index: number) =>
        (index === record + 2 ? how(message) : [message]).map((passed) => ({ message: passed })),
    };
    const pair = await linkPair({ clock, wires });
    echo(pair.b);
    const stream = pair.a.open();
    const reading = readAll(stream).catch((error: unknown) => error);
    for (let count = 0; count < 5; count++) {
      await stream.write(pattern(10)).catch(() => undefined);
      await clock.advance(10);
    }
    return { ...pair, clock, reading };
  }

  test("a repeated record closes the channel, visibly on both sides", async () => {
    const { a, b } = await attacked(1, (message) => [message, message]);
    await expectClosed(b, "record_order");
    await expectClosed(a, "record_order");
  });

  test("a dropped one closes it within 1 s", async () => {
    const { a, b, clock } = await attacked(1, () => []);
    await clock.advance(1_000);
    await expectClosed(b, "record_order");
    await expectClosed(a, "record_order");
  });

  test("a changed byte closes it, wherever it is", async () => {
    for (const at of [0, 1, 5, 8, 9, 20, -1]) {
      const { a, b } = await attacked(0, (message) => {
        const copy = message.slice();
        const index = at < 0 ? copy.length - 1 : at;
        copy[index] = (copy[index] ?? 0) ^ 0x40;
        return [copy];
      });
      const codes = [(await b.closed).code, (await a.closed).code];
      expect(["crypto", "malformed", "record_order"]).toContain(codes[0] ?? "");
      expect(codes[1]).toBe(codes[0]);
    }
  });

  test("two records that change places within the window do no harm", async () => {
    let held: Bytes | undefined;
    const wires = {
      aToB: (message: Bytes, index: number) => {
        if (index === 3) {
          held = message;
          return [];
        }
        const passed = index === 4 && held !== undefined ? [message, held] : [message];
        return passed.map((one) => ({ message: one }));
      },
    };
    const clock = new DrivenClock();
    const { a, b } = await linkPair({ clock, wires });
    const got: Bytes[] = [];
    b.onStream((stream) => {
      const work = async () => {
        for (let piece = await stream.read(); piece !== null; piece = await stream.read()) got.push(piece.slice());
      };
      work().catch(() => undefined);
    });
    const stream = a.open();
    for (let count = 0; count < 6; count++) {
      await stream.write(pattern(10, count * 10));
      await clock.advance(10);
    }
    expect(concat(...got)).toEqual(pattern(60));
    await a.close("closed");
  });

  test("a record sent back to its sender, and one of another channel, close it", async () => {
    const clock = new DrivenClock();
    const seen: Bytes[] = [];
    const tap = (message: Bytes) => {
      seen.push(message);
      return [{ message }];
    };
    const first = await linkPair({ clock, wires: { aToB: tap } });
    first.a.probe();
    await clock.advance(10);
    const record = seen.at(-1) ?? new Uint8Array(0);
    expect(record[0]).toBe(2);
    first.wires.b.send(record); // a hears its own words
    await expectClosed(first.a, "crypto");
    const second = await linkPair({ clock });
    second.wires.a.send(record);
    await expectClosed(second.b, "crypto");
  });

  test("a message of an unknown kind, and a text of nothing, close it", async () => {
    for (const message of [new Uint8Array([9, 1]), new Uint8Array(0), concat(new Uint8Array([1]), pattern(50))]) {
      const { a, b, wires } = await linkPair({ clock: new DrivenClock() });
      wires.a.send(message);
      await expectClosed(b, "malformed");
      await expectClosed(a, "malformed");
    }
  });

  test("a counter that jumps is refused before anything is derived from it", async () => {
    const { b, wires } = await linkPair({ clock: new DrivenClock() });
    wires.a.send(concat(new Uint8Array([2]), uint64(5 * 65_536), random(40)));
    await expectClosed(b, "record_order");
  });
});

describe("opening", () => {
  test("a refusal in place of the handshake becomes what the caller makes of it", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const edge = await world.node("edge");
    const options = world.options(edge, sessionTerms(edge));
    const plain = memoryWirePair();
    refuseWire(plain.b, { code: "suspended" });
    const fault = await expectFault(openLink(plain.a, options), "handshake");
    expect(fault.detail.refusal).toBe("suspended");
    const answered = memoryWirePair();
    refuseWire(answered.b, { code: "copied", answer: "e30.e30.AA" });
    const refused = (refusal: { code: string; answer?: string }) =>
      new Fault("copied", undefined, { detail: { answer: refusal.answer ?? "" } });
    const believed = await expectFault(openLink(answered.a, { ...options, refused }), "copied");
    expect(believed.detail.answer).toBe("e30.e30.AA");
  });

  test("an initiator that is refused after it has proved who it is hears the code", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const [edge, nexus] = [await world.node("edge"), await world.node("nexus")];
    const wires = memoryWirePair();
    const terms = sessionTerms(edge);
    const policy = () => {
      throw new Fault("revoked");
    };
    const accepting = expectFault(acceptLink(wires.b, { ...world.options(nexus, terms), policy }), "revoked");
    const link = await openLink(wires.a, world.options(edge, terms));
    await accepting;
    await expectClosed(link, "revoked");
  });

  test("an expired credential ends it on the side that sees it", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const [edge, nexus] = [await world.node("edge", { lifeMs: -3_600_000 }), await world.node("nexus")];
    const wires = memoryWirePair();
    const terms = sessionTerms(edge);
    const accepting = expectFault(acceptLink(wires.b, world.options(nexus, terms)), "credential_expired");
    const link = await openLink(wires.a, world.options(edge, terms));
    await accepting;
    await expectClosed(link, "credential_expired");
  });

  test("has a deadline on both sides, and the wire is closed then", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const [edge, nexus] = [await world.node("edge"), await world.node("nexus")];
    const terms = sessionTerms(edge);
    for (const open of [
      (wire: Parameters<typeof openLink>[0]) => openLink(wire, world.options(edge, terms)),
      (wire: Parameters<typeof openLink>[0]) => acceptLink(wire, world.options(nexus, terms)),
    ]) {
      const wires = memoryWirePair();
      const ended = new Promise<Fault>((resolve) => wires.b.receive({ message: () => undefined, closed: resolve }));
      const opening = expectFault(open(wires.a), "timeout");
      await clock.advance(10_000);
      await opening;
      expect((await ended).code).toBe("wire_lost");
    }
    expect(clock.waiting).toBe(0);
  });

  test("can be given up, and hears of a lost wire", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const edge = await world.node("edge");
    const options = world.options(edge, sessionTerms(edge));
    const given = new AbortController();
    const opening = expectFault(openLink(memoryWirePair().a, { ...options, signal: given.signal }), "closed");
    given.abort(new Fault("closed"));
    await opening;
    const wires = memoryWirePair();
    const lost = expectFault(openLink(wires.a, options), "wire_lost");
    wires.cut();
    await lost;
  });

  test("bears any bytes in place of a handshake", async () => {
    const clock = new DrivenClock();
    const world = await ChannelWorld.create(clock);
    const nexus = await world.node("nexus");
    const edge = await world.node("edge");
    for (const message of [
      new Uint8Array(0),
      pattern(1),
      pattern(32, 1),
      new Uint8Array(65_536).fill(1),
      pattern(40, 2),
    ]) {
      const wires = memoryWirePair();
      const accepting = acceptLink(wires.b, world.options(nexus, sessionTerms(edge)));
      wires.a.send(message);
      await expectFault(accepting, "handshake");
    }
    const wires = memoryWirePair();
    const flooded = acceptLink(wires.b, world.options(nexus, sessionTerms(edge)));
    for (let count = 0; count < 10; count++) wires.a.send(new Uint8Array(60_000).fill(1));
    await expectFault(flooded, "too_large");
  });
});

describe("a credential", () => {
  test("that runs out closes the link, unless a newer one came", async () => {
    const clock = new DrivenClock();
    const lifeMs = 300_000;
    const { a, b, world, edge, nexus } = await linkPair({ clock, lifeMs });
    await clock.advance(120_000);
    await a.renewPeer({ credential: await world.credential(nexus.own, "nexus") });
    await b.renewPeer({ credential: await world.credential(edge.own, "edge", { lifeMs, attrs: { tier: "gold" } }) });
    expect(b.peer.credential.attrs.tier).toBe("gold");
    await clock.advance(lifeMs - 120_000 + clockLeewayMs);
    expect(await Promise.race([b.closed, "open"])).toBe("open"); // the first one has run out
    await clock.advance(120_000 + 1_000);
    await expectClosed(b, "credential_expired");
    await expectClosed(a, "credential_expired");
  });

  test("of another identity, role or change is not taken, and nothing changes", async () => {
    const clock = new DrivenClock();
    const { b, world, edge } = await linkPair({ clock });
    const other = await world.node("edge");
    const before = b.peer;
    await expectFault(b.renewPeer({ credential: other.credential }), "credential_invalid");
    await expectFault(b.renewPeer({ credential: other.credential, chain: other.own.chain }), "identity_invalid");
    await expectFault(b.renewPeer({ credential: await world.credential(edge.own, "nexus") }), "forbidden");
    expect(b.peer).toBe(before);
  });

  test("for a rotated identity is taken with its longer chain", async () => {
    const clock = new DrivenClock();
    const { b, world, edge } = await linkPair({ clock });
    const rotated = await extendIdentity(webSuite, random, edge.own, { now: clock.now() + 1 });
    const credential = await world.credential(rotated, "edge");
    await expectFault(b.renewPeer({ credential }), "credential_invalid");
    await b.renewPeer({ credential, chain: rotated.chain });
    expect(b.peer.identity.changes).toHaveLength(2);
    const fork = await extendIdentity(webSuite, random, edge.own, { now: clock.now() + 1 });
    const forked = { credential: await world.credential(fork, "edge"), chain: fork.chain };
    await expectFault(b.renewPeer(forked), "identity_invalid");
  });
});
