import { describe, expect, test } from "bun:test";
import { type Bytes, concat, encodeCbor } from "#lib/bytes";
import {
  type ChannelOptions,
  type ChannelTerms,
  type Established,
  encodePresentation,
  encodePrologue,
  type HandshakeStep,
  initiateChannel,
  respondToChannel,
} from "#lib/channel";
import { webSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import { createIdentity, extendIdentity } from "#lib/identity";
import { startInitiator } from "#lib/noise";
import { ChannelWorld, e2eTerms, random, sessionTerms, type TestNode } from "#support/channel-world";
import { DrivenClock } from "#support/driven-clock";
import { caught, expectFault } from "#support/faults";

interface Outcome {
  readonly initiator: Established;
  readonly responder: HandshakeStep;
}

/** A whole handshake between these two sides. */
async function shake(initiator: ChannelOptions, responder: ChannelOptions): Promise<Outcome> {
  const { send, handshake } = await initiateChannel(initiator);
  const answering = respondToChannel(responder);
  const second = await answering.take(send);
  if (second.status !== "going") throw new TypeError("no answer to message 1");
  const third = await handshake.take(second.send);
  if (third.status !== "established" || third.send === undefined) throw new TypeError("no message 3");
  return { initiator: third.established, responder: await answering.take(third.send) };
}

/** Asserts that the responder refuses with this code, after it knows who is there. */
async function expectRefused(initiator: ChannelOptions, responder: ChannelOptions, code: FaultCode): Promise<void> {
  const { responder: step } = await shake(initiator, responder);
  expect(step.status).toBe("refused");
  if (step.status === "refused") expect(step.fault.code).toBe(code);
}

const world = await ChannelWorld.create(new DrivenClock());
const [edge, other, nexus] = [await world.node("edge"), await world.node("edge"), await world.node("nexus")];
const anyone = () => true;
const session = (node: TestNode, terms = sessionTerms(edge)) => world.options(node, terms);

/** A node that shows these instead of what is its own. */
function showing(
  node: TestNode,
  shown: { credential?: string; chain?: Bytes; authority?: Bytes },
  terms: ChannelTerms,
) {
  const options = world.options(node, terms);
  const chain = shown.chain ?? node.own.chain;
  const identity = { ...options.keys.identity, chain };
  const authorityIdentity = { ...options.authority.identity, chain: shown.authority ?? world.authorityChain };
  return {
    ...options,
    keys: { ...options.keys, identity },
    credential: shown.credential ?? node.credential,
    authority: { ...options.authority, identity: authorityIdentity, offer: options.authority.offer },
  };
}

describe("a handshake", () => {
  test("of a session: each knows the other, keys cross, the hash is one", async () => {
    const { initiator, responder } = await shake(session(edge), session(nexus));
    if (responder.status !== "established") throw new TypeError("refused");
    const { established } = responder;
    expect(initiator.peer.identity.identifier).toBe(nexus.own.identity.identifier);
    expect(established.peer.identity.identifier).toBe(edge.own.identity.identifier);
    expect(established.peer.credential.attrs.customer_id).toBe("acme");
    expect(initiator.keys.sendKey).toEqual(established.keys.receiveKey);
    expect(initiator.keys.receiveKey).toEqual(established.keys.sendKey);
    expect(initiator.keys.sendKey).not.toEqual(initiator.keys.receiveKey);
    expect(initiator.keys.handshakeHash).toEqual(established.keys.handshakeHash);
  });

  test("of an end-to-end channel", async () => {
    const terms = e2eTerms(edge, other);
    const { initiator } = await shake(world.options(edge, terms), { ...world.options(other, terms), accepts: anyone });
    expect(initiator.peer.identity.identifier).toBe(other.own.identity.identifier);
  });

  test("the prologue is these bytes", () => {
    const terms = sessionTerms(edge);
    const array = ["mercury", ["mercury.1"], "mercury.1", "session", terms.initiator, terms.responder, terms.binding];
    expect(encodePrologue(terms)).toEqual(encodeCbor(array));
    expect(() => encodePrologue({ ...terms, binding: random(16) })).toThrow(RangeError);
  });

  const differences: Partial<ChannelTerms>[] = [
    { purpose: "e2e", binding: random(16) },
    { offered: ["mercury.1", "mercury.2"] },
    { offered: [] },
    { chosen: "mercury.2" },
    { initiator: other.own.identity.identifier },
    { responder: "https://other.test" },
    { binding: random(32) },
  ];
  for (const difference of differences)
    test(`fails when the sides differ in ${Object.keys(difference).join(" and ")} (${Object.values(difference)[0]})`, async () => {
      const here = session(edge, { ...sessionTerms(edge), ...difference });
      await expectFault(shake(here, session(nexus)), "handshake");
    });

  test("fails with any byte of any message changed", async () => {
    for (const turn of [1, 2, 3] as const)
      for (const where of [0, 0.3, 0.6, 0.999]) {
        const tamper = (message: Bytes, number: number) => {
          if (number !== turn) return message;
          const copy = message.slice();
          const at = Math.floor(1 + where * (message.length - 1));
          copy[at] = (copy[at] ?? 0) ^ 1;
          return copy;
        };
        const { send, handshake } = await initiateChannel(session(edge));
        const answering = respondToChannel(session(nexus));
        const work = async () => {
          const second = await answering.take(tamper(send, 1));
          if (second.status !== "going") throw new TypeError();
          const third = await handshake.take(tamper(second.send, 2));
          if (third.status !== "established" || third.send === undefined) throw new TypeError();
          await answering.take(tamper(third.send, 3));
        };
        await expectFault(work(), "handshake");
      }
  });

  test("a message too many, of another kind, cut, too long or with a payload too early is refused", async () => {
    const { send, handshake } = await initiateChannel(session(edge));
    const responder = () => respondToChannel(session(nexus));
    await expectFault(responder().take(new Uint8Array(0)), "handshake");
    await expectFault(responder().take(concat(new Uint8Array([2]), send.subarray(1))), "handshake");
    await expectFault(responder().take(send.subarray(0, 20)), "handshake");
    await expectFault(responder().take(new Uint8Array(70_000).fill(1)), "handshake");
    await expectFault(responder().take(concat(send, new Uint8Array(1))), "handshake");
    const twice = responder();
    const step = await twice.take(send);
    await expectFault(twice.take(send), "handshake");
    if (step.status === "going") await handshake.take(step.send);
    await expectFault(handshake.take(send), "handshake");
  });
});

describe("who is at the other end", () => {
  test("one's header and another's handshake: refused, whoever is valid for itself", async () => {
    await expectRefused(session(other), session(nexus), "identity_unexpected");
  });

  test("an end-to-end initiator meets another node than it asked for", async () => {
    const third = await world.node("edge");
    const terms = e2eTerms(edge, other);
    const impostor = { ...world.options(third, terms), accepts: anyone };
    await expectFault(shake(world.options(edge, terms), impostor), "identity_unexpected");
  });

  test("an end-to-end responder takes only whom a portal names, and must be told", async () => {
    const terms = e2eTerms(edge, other);
    const here = world.options(edge, terms);
    await expectRefused(here, { ...world.options(other, terms), accepts: () => false }, "identity_unexpected");
    expect(await caught(shake(here, world.options(other, terms)))).toBeInstanceOf(TypeError);
  });

  test("a role at the wrong end is refused", async () => {
    const secondNexus = await world.node("nexus");
    await expectFault(shake(session(edge), session(other)), "forbidden");
    await expectRefused(
      session(secondNexus, sessionTerms(secondNexus)),
      session(nexus, sessionTerms(secondNexus)),
      "forbidden",
    );
    const toNexus = e2eTerms(edge, nexus);
    const atNexus = { ...world.options(nexus, toNexus), accepts: anyone };
    await expectFault(shake(world.options(edge, toNexus), atNexus), "forbidden");
    const fromNexus = e2eTerms(nexus, edge);
    const atEdge = { ...world.options(edge, fromNexus), accepts: anyone };
    await expectRefused(world.options(nexus, fromNexus), atEdge, "forbidden");
  });

  test("another's chain, or another's credential, is worth nothing", async () => {
    const terms = sessionTerms(edge);
    await expectRefused(
      showing(other, { chain: edge.own.chain, credential: edge.credential }, terms),
      session(nexus),
      "handshake",
    );
    await expectRefused(showing(other, { credential: edge.credential }, terms), session(nexus), "credential_invalid");
  });

  test("an old key after a rotation, an old chain and a fork are refused", async () => {
    const rotated = await extendIdentity(webSuite, random, edge.own, { now: world.clock.now() + 1 });
    const fork = await extendIdentity(webSuite, random, edge.own, { now: world.clock.now() + 1 });
    const terms = sessionTerms(edge);
    const fresh = await world.credential(rotated, "edge");
    // The old key with the new chain: not its last key.
    await expectRefused(showing(edge, { chain: rotated.chain, credential: fresh }, terms), session(nexus), "handshake");
    // The old key with the old chain and the new credential: not its change.
    await expectRefused(showing(edge, { credential: fresh }, terms), session(nexus), "credential_invalid");
    const forked = await world.nodeOf(fork, "edge");
    await expectRefused(showing(forked, { credential: fresh }, terms), session(nexus), "credential_invalid");
    const good = await world.nodeOf(rotated, "edge");
    expect((await shake(session(good), session(nexus))).responder.status).toBe("established");
  });

  test("a credential that is out of date, of another authority, or no credential at all", async () => {
    const expired = await world.nodeOf(edge.own, "edge", { lifeMs: -120_000 });
    await expectRefused(session(expired), session(nexus), "credential_expired");
    await expectFault(
      shake(session(edge), session(await world.nodeOf(nexus.own, "nexus", { lifeMs: -120_000 }))),
      "credential_expired",
    );
    const foreign = await ChannelWorld.create(world.clock);
    const stranger = showing(edge, { credential: await foreign.credential(edge.own, "edge") }, sessionTerms(edge));
    await expectRefused(stranger, session(nexus), "statement_invalid");
    await expectRefused(
      showing(edge, { credential: "x.y.z" }, sessionTerms(edge)),
      session(nexus),
      "statement_invalid",
    );
  });

  test("an identity that is out of date", async () => {
    const clock = new DrivenClock();
    const ageing = await ChannelWorld.create(clock);
    const own = await createIdentity(webSuite, random, { now: clock.now(), lifeMs: 1_000 });
    const [old, gate] = [await ageing.nodeOf(own, "edge"), await ageing.node("nexus")];
    await clock.advance(120_000);
    const terms = sessionTerms(old);
    await expectRefused(ageing.options(old, terms), ageing.options(gate, terms), "identity_expired");
  });

  test("a payload that is no presentation", async () => {
    const payloads = [
      new Uint8Array(0),
      random(50),
      encodeCbor({ chain: new Uint8Array(1), credential: "x" }),
      encodeCbor({ chain: new Uint8Array(1), credential: 1, authority: new Uint8Array(1) }),
      encodeCbor({ chain: "x", credential: "x", authority: new Uint8Array(1) }),
      encodeCbor(["x"]),
      encodePresentation({ chain: new Uint8Array(0), credential: "", authority: new Uint8Array(0) }),
    ];
    for (const payload of payloads) {
      const keys = {
        staticKey: await webSuite.agreementKey(random(32)),
        ephemeralKey: await webSuite.agreementKey(random(32)),
      };
      const noise = startInitiator(webSuite, { prologue: encodePrologue(sessionTerms(edge)), ...keys });
      const { message, next } = await noise.write(new Uint8Array(0));
      const responder = respondToChannel(session(nexus));
      const step = await responder.take(concat(new Uint8Array([1]), message));
      if (step.status !== "going") throw new TypeError("no answer");
      const { next: last } = await next.read(step.send.subarray(1));
      const third = await responder.take(concat(new Uint8Array([1]), (await last.write(payload)).message));
      expect(third.status).toBe("refused");
      if (third.status === "refused") expect(["malformed", "identity_invalid"]).toContain(third.fault.code);
    }
  });
});

describe("the authority", () => {
  test("its longer chain is taken over from the peer, its shorter one is known", async () => {
    const newer = await world.rotated();
    const reissued = await newer.nodeOf(nexus.own, "nexus");
    const terms = sessionTerms(edge);
    const here = world.options(edge, terms);
    const { initiator, responder } = await shake(here, newer.options(reissued, terms));
    expect(initiator.peer.authorityExtended).toBe(true);
    expect(here.authority.identity.chain).toEqual(newer.authorityChain);
    if (responder.status !== "established") throw new TypeError("refused");
    expect(responder.established.peer.authorityExtended).toBe(false);
  });

  test("a fork of its chain and another authority are refused", async () => {
    const [newer, fork] = [await world.rotated(), await world.rotated()];
    const terms = sessionTerms(edge);
    const forked = showing(nexus, { authority: fork.authorityChain }, terms);
    const here = newer.options(await newer.nodeOf(edge.own, "edge"), terms);
    await expectFault(shake(here, forked), "identity_invalid");
    const foreign = await ChannelWorld.create(world.clock);
    await expectFault(
      shake(session(edge), showing(nexus, { authority: foreign.authorityChain }, terms)),
      "identity_unexpected",
    );
  });
});

describe("hooks", () => {
  test("freshness comes before policy, both after the built-in checks, and each can refuse", async () => {
    const order: string[] = [];
    const hooks = { freshness: () => void order.push("freshness"), policy: () => void order.push("policy") };
    await shake(session(edge), { ...session(nexus), ...hooks });
    expect(order).toEqual(["freshness", "policy"]);
    await expectRefused(session(other), { ...session(nexus), ...hooks }, "identity_unexpected");
    expect(order).toHaveLength(2);
    const revoked = () => Promise.reject(new Fault("revoked"));
    await expectRefused(session(edge), { ...session(nexus), freshness: revoked }, "revoked");
    await expectFault(shake({ ...session(edge), policy: revoked }, session(nexus)), "revoked");
  });

  test("a bug in one is no refusal", async () => {
    const policy = () => {
      throw new TypeError("bug");
    };
    expect(await caught(shake(session(edge), { ...session(nexus), policy }))).toBeInstanceOf(TypeError);
  });
});
