import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Clock } from "#lib/clock";
import { webSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import type { Link, MuxStream, VerifiedPeer } from "#lib/link";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { eventually } from "#support/eventually";
import type { FakeAgent } from "#support/fake-solaris";
import { PeerChannels } from "../../../agent/peers/peer-channels.ts";
import type { RelayOffer, Relays } from "../../../agent/tunnel/relays.ts";
import type { Trust } from "../../../agent/tunnel/trust.ts";
import type { Tunnel } from "../../../agent/tunnel/tunnel.ts";
import { AgentWorld } from "../tunnel/agent-world.ts";

setDefaultTimeout(30_000);

/** A node with a tunnel, and its channels. */
interface Node {
  readonly agent: FakeAgent;
  readonly tunnel: Tunnel;
  readonly trust: Trust;
  readonly peers: PeerChannels;
  readonly taken: { readonly stream: MuxStream; readonly link: Link }[];
  readonly offers: RelayOffer[];
  readonly renewed: VerifiedPeer[];
  names: (identifier: string) => boolean;
  resumed: (stream: MuxStream, peer: VerifiedPeer) => FaultCode | undefined;
  /** Offers wait while true. */
  held: (() => void)[] | undefined;
}

let world: AgentWorld;
let stack: AsyncDisposableStack;
let names = 0;

beforeEach(async () => {
  world = await AgentWorld.create();
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  await world[Symbol.asyncDispose]();
});

async function node(options: { idleMs?: number; lifeMs?: number; clock?: Clock } = {}): Promise<Node> {
  const { store, agent } = await world.enrolled(`agt-${++names}`, options.lifeMs);
  const offered = (offer: RelayOffer, relays: Relays) => {
    made.offers.push(offer);
    if (made.held === undefined) made.peers.offered(offer, relays);
    else made.held.push(() => made.peers.offered(offer, relays));
  };
  const { tunnel, trust } = await world.tunnel(store, { relayOffered: offered });
  const peers = stack.use(
    new PeerChannels({
      suite: webSuite,
      clock: options.clock ?? systemClock,
      random: systemRandom,
      log: silentLog,
      trust,
      relays() {
        const { session } = tunnel;
        if (session === undefined) throw new Fault("offline");
        return session.relays;
      },
      demandList: async () => {
        const listed = new Promise<void>((resolve) => trust.onChange(resolve));
        await tunnel.session?.refresh();
        await listed;
      },
      names: (identifier) => made.names(identifier),
      taken: (stream, link) => void made.taken.push({ stream, link }),
      resumed: (stream, peer) => made.resumed(stream, peer),
      renewed: (peer) => void made.renewed.push(peer),
      ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
    }),
  );
  const made: Node = {
    agent,
    tunnel,
    trust,
    peers,
    taken: [],
    offers: [],
    renewed: [],
    names: () => true,
    resumed: () => undefined,
    held: undefined,
  };
  await eventually("the tunnel is open", () => tunnel.session !== undefined);
  return made;
}

const idOf = (of: Node) => of.agent.keys.identity.identifier;

async function two(): Promise<[Node, Node]> {
  const [a, b] = [await node(), await node()];
  return idOf(a) < idOf(b) ? [a, b] : [b, a];
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "none",
    (fault: Fault) => fault.code,
  );
}

describe("the channel of two nodes", () => {
  test("is one, whoever uses it and how often", async () => {
    const [a, b] = await two();
    const links = await Promise.all(Array.from({ length: 5 }, () => a.peers.to(idOf(b)).link()));
    expect(new Set(links).size).toBe(1);
    expect(links[0]?.peer.identity.identifier).toBe(idOf(b));
    await eventually("it is known at b", () => b.peers.to(idOf(a)).open);
    const back = await b.peers.to(idOf(a)).link();
    expect(back.peer.identity.identifier).toBe(idOf(a));
    expect(a.offers).toEqual([]);
    const stream = back.open();
    await stream.write(new Uint8Array([1]));
    await eventually("a has the stream", () => a.taken.length === 1);
  });

  test("is the one begun by the smaller identifier when both dial at once", async () => {
    const [small, great] = await two();
    small.held = [];
    great.held = [];
    const both = [small.peers.to(idOf(great)).link(), great.peers.to(idOf(small)).link()];
    await eventually("both are offered one", () => small.offers.length === 1 && great.offers.length === 1);
    for (const of of [small, great]) for (const take of of.held?.splice(0) ?? []) take();
    small.held = undefined;
    great.held = undefined;
    const [near, far] = await Promise.all(both);
    expect(Buffer.compare(near?.handshakeHash ?? Buffer.of(1), far?.handshakeHash ?? Buffer.of(2))).toBe(0);
    expect(small.offers).toHaveLength(1); // refused: the other's own offer was taken
  });

  test("goes on with its streams when either tunnel is lost", async () => {
    const [a, b] = await two();
    const link = await a.peers.to(idOf(b)).link();
    const stream = link.open();
    await stream.write(new Uint8Array([1, 2, 3]));
    await eventually("b has it", () => b.taken.length === 1);
    const there = b.taken[0]?.stream;
    expect([...((await there?.read()) ?? [])]).toEqual([1, 2, 3]);
    for (const [lost, bytes] of [
      [a, [4]],
      [b, [5]],
    ] as const) {
      const { session } = lost.tunnel;
      session?.link.end("timeout");
      void stream.write(new Uint8Array(bytes));
      expect([...((await there?.read()) ?? [])]).toEqual([...bytes]);
    }
    await there?.write(new Uint8Array([9]));
    there?.end();
    expect([...((await stream.read()) ?? [])]).toEqual([9]);
    expect(await stream.read()).toBeNull();
    expect(b.taken).toHaveLength(1);
  });

  test("does not let a stream go on that policy would not let open now", async () => {
    const [a, b] = await two();
    const stream = (await a.peers.to(idOf(b)).link()).open();
    await stream.write(new Uint8Array([1]));
    await eventually("b has it", () => b.taken.length === 1);
    b.resumed = () => "forbidden";
    const reading = stream.read();
    a.tunnel.session?.link.end("timeout");
    const fault = await reading.catch((error: Fault) => error);
    expect(fault instanceof Fault && fault.detail.code).toBe("forbidden");
  });

  test("is closed when nothing uses it, and opened again", async () => {
    let now = 0;
    const ticks: { at: number; act: () => void }[] = [];
    const clock: Clock = {
      now: systemClock.now,
      monotonic: () => systemClock.monotonic() + now,
      after(delayMs, act) {
        if (delayMs !== 10_000) return systemClock.after(delayMs, act);
        const tick = { at: delayMs, act };
        ticks.push(tick); // the look at idleness: the test says when
        return () => void ticks.splice(ticks.indexOf(tick) >>> 0, 1);
      },
    };
    const [a, b] = [await node({ clock }), await node()];
    const link = await a.peers.to(idOf(b)).link();
    const stream = link.open();
    await stream.write(new Uint8Array([1]));
    await eventually("b has it", () => b.taken.length === 1);
    const look = () => {
      now += 61_000;
      for (const { act } of ticks.splice(0)) act();
    };
    look();
    stream.reset("closed");
    await eventually("b lets it go", () => b.peers.to(idOf(a)).streams === 0);
    look();
    look();
    expect((await link.closed).code).toBe("closed");
    const again = await a.peers.to(idOf(b)).link();
    expect(again).not.toBe(link);
  });

  test("takes the credential that the other renewed, inside", async () => {
    const [a, b] = await two();
    const link = await a.peers.to(idOf(b)).link();
    const before = link.peer.credential.jti;
    await eventually("b knows the channel", () => b.peers.to(idOf(a)).open);
    await b.tunnel.session?.refresh();
    await eventually("a has the fresh one", () => link.peer.credential.jti !== before);
    expect(a.renewed.map(({ identity }) => identity.identifier)).toEqual([idOf(b)]); // so that policy is asked again
  });

  test("ends when the other is revoked, with its streams, and is not opened again", async () => {
    const [a, b] = await two();
    const link = await a.peers.to(idOf(b)).link();
    const reading = codeOf(link.open().read());
    world.solaris.revoke(idOf(b));
    await a.tunnel.session?.refresh(); // brings the list
    await link.closed; // by the list, or a moment before by the loss of b's tunnel
    expect(await reading).toBe("revoked");
    expect(await codeOf((async () => a.peers.to(idOf(b)).link())())).toBe("revoked");
  });

  test("waits for the revocation list that the other's credential names", async () => {
    const [a, b] = await two();
    world.solaris.number += 1;
    await b.tunnel.session?.refresh(); // its credential names the new list; a holds the one before
    await eventually("b has it", () => b.trust.freshness.revocations === world.solaris.number);
    const link = await a.peers.to(idOf(b)).link();
    expect(a.trust.freshness.revocations).toBe(world.solaris.number);
    expect(link.peer.credential.revocations).toBe(world.solaris.number);
  });

  test("is not for a node that no portal names, at either end", async () => {
    const [a, b] = await two();
    a.names = () => false;
    expect(await codeOf((async () => a.peers.to(idOf(b)).link())())).toBe("forbidden");
    a.names = () => true;
    b.names = () => false;
    expect(await codeOf(a.peers.to(idOf(b)).link())).toBe("identity_unexpected");
    b.names = () => true;
    const link = await a.peers.to(idOf(b)).link();
    await eventually("b has it too", () => b.peers.to(idOf(a)).open);
    b.names = () => false;
    b.peers.portalsChanged();
    expect((await link.closed).code).toBe("forbidden");
  });

  test("is not for a node of another customer, whatever a Nexus leads to it", async () => {
    const [a, b] = await two();
    const { agent } = b;
    const foreign = { ...agent, customerId: "cus_b" };
    world.solaris.agents.set(idOf(b), foreign);
    const shown = await world.solaris.agentCredential(foreign);
    Object.assign(b.trust.credential, { jws: shown }); // what b shows from now on
    world.solaris.agents.set(idOf(b), agent); // and the relay joins them all the same
    expect(await codeOf(a.peers.to(idOf(b)).link())).toBe("forbidden");
  });
});
