import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fromBase64url } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { systemClock } from "#lib/runtime";
import { verifyAnswer } from "#lib/statement";
import { connectWebSocket } from "#lib/wire";
import { eventually } from "../support/eventually.ts";
import { FakeSession, headerOf, openTunnel, type TunnelTwist } from "../support/fake-agent-tunnel.ts";
import { type FakeAgent, FakeSolaris } from "../support/fake-solaris.ts";
import { caught, expectFault } from "../support/faults.ts";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "../support/gateway-harness.ts";

setDefaultTimeout(30_000);

const suite = webSuite;
let own: OwnBroker;
let solaris: FakeSolaris;
let nexus: TestNexus;
let agent: FakeAgent;
let agents = 0;

beforeAll(async () => {
  own = await ownBroker();
  solaris = await FakeSolaris.create(suite);
  nexus = await startNexus({ solaris, broker: own.broker });
});

afterAll(async () => {
  await nexus[Symbol.asyncDispose]();
  await own[Symbol.asyncDispose]();
});

beforeEach(async () => {
  agent = await solaris.addAgent(`agt_${++agents}`);
});

const open = (twist: TunnelTwist = {}, as: FakeAgent = agent) => openTunnel(suite, solaris, as, nexus.url, twist);
const calls = (name: string) => solaris.calls.get(name) ?? 0;

/** Code that a refused opening was told in its 0x04 message. */
async function refusalOf(work: Promise<unknown>): Promise<Record<string, unknown>> {
  const error = await caught(work);
  if (!(error instanceof Fault)) throw error;
  return { ...error.detail };
}

describe("opening a tunnel", () => {
  test("an agent that Solaris accepts gets as far as opened", async () => {
    const session = await FakeSession.begin(await open());
    expect(session.link.peer.credential.attrs.role).toBe("nexus");
    await session.link.close("closed");
  });

  test("the welcome carries what Solaris drew", async () => {
    agent.lanes = [{ plugin: "erp", generation: 2, number: 7 }];
    const link = await open();
    const { epoch } = await FakeSession.greet(link);
    expect(epoch).toBe(agent.epoch);
    await link.close("closed");
  });

  test("what is not a header of ours gets a bare 401, and Solaris is not asked", async () => {
    const before = calls("authorize");
    const good = await headerOf(suite, agent);
    const headers = [
      "",
      "Bearer x",
      "Mercury x",
      "Mercury a.b.c",
      `${good}=`,
      `Mercury ${"a".repeat(5_000)}`,
      await headerOf(suite, agent, { aud: "http://other.test" }),
    ];
    for (const authorization of headers) {
      const answer = await fetch(nexus.url.replace("ws", "http"), {
        headers: {
          authorization,
          upgrade: "websocket",
          connection: "upgrade",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          "sec-websocket-version": "13",
          "sec-websocket-protocol": "mercury.1",
        },
      });
      expect(answer.status).toBe(401);
      expect(await answer.text()).toBe("");
    }
    expect(calls("authorize")).toBe(before);
  });

  test("another subprotocol is refused", async () => {
    await expectFault(open({ protocols: ["mercury.2"] }), "wire_lost");
  });

  test("a header changed in any part is a bare refusal", async () => {
    const header = await headerOf(suite, agent);
    const changed = `${header.slice(0, -6)}${header.slice(-6, -5) === "A" ? "B" : "A"}${header.slice(-5)}`;
    await expectFault(open({ header: changed }), "wire_lost");
  });

  test("an unknown identifier is asked about once in a minute", async () => {
    const stranger = await (await FakeSolaris.create(suite)).addAgent("agt_x");
    const before = calls("authorize");
    await expectFault(open({}, stranger), "wire_lost");
    await expectFault(open({}, stranger), "wire_lost");
    expect(calls("authorize")).toBe(before + 1);
  });

  test("a header used twice is refused, and told so by Solaris under its MAC", async () => {
    const header = await headerOf(suite, agent);
    const first = await open({ header });
    const detail = await refusalOf(open({ header }));
    expect(detail.refusal).toBe("authorization_replayed");
    const answer = fromBase64url(String(detail.answer)) ?? new Uint8Array();
    const jti = JSON.parse(atob(header.split(".")[1] ?? "")).jti;
    expect((await verifyAnswer(suite, agent.headerKeys, answer, { jti })).code).toBe("authorization_replayed");
    await first.close("closed");
  });

  test("a clock wrong by a day is told, with the server's time", async () => {
    const header = await headerOf(suite, agent, { now: systemClock.now() - 86_400_000 });
    const detail = await refusalOf(open({ header }));
    expect(detail.refusal).toBe("clock");
    const jti = JSON.parse(atob(header.split(".")[1] ?? "")).jti;
    const answer = await verifyAnswer(
      suite,
      agent.headerKeys,
      fromBase64url(String(detail.answer)) ?? new Uint8Array(),
      { jti },
    );
    expect(Math.abs(answer.timeMs - systemClock.now())).toBeLessThan(5_000);
  });

  test("revoked and suspended agents are told so", async () => {
    agent.refuse = "suspended";
    expect((await refusalOf(open())).refusal).toBe("suspended");
  });

  test("one's header with another's handshake does not open", async () => {
    const other = await solaris.addAgent("agt_other");
    const before = calls("ready");
    const error = await caught(async () => {
      await FakeSession.begin(await open({ handshakeAs: other }));
    });
    expect(error).toBeInstanceOf(Fault);
    expect(calls("ready")).toBe(before);
  });

  test("a credential of another agent, customer or role does not open", async () => {
    const cases = [
      await solaris.agentCredential(agent, { attrs: { agent_id: "agt_zzz" } }),
      await solaris.agentCredential(agent, { attrs: { customer_id: "cus_b" } }),
      await solaris.credential(agent.keys, "nexus"),
      (await solaris.addAgent("agt_lent")).credential,
    ];
    for (const credential of cases) {
      const error = await caught(async () => {
        await FakeSession.begin(await open({ credential }));
      });
      expect(error).toBeInstanceOf(Fault);
    }
  });

  test("a credential that names a newer revocation list waits for it", async () => {
    solaris.number += 1;
    const credential = await solaris.agentCredential(agent);
    const session = await FakeSession.begin(await open({ credential }));
    await session.link.close("closed");
  });

  test("a plain request is told to upgrade, an unknown path that it is unknown", async () => {
    expect((await fetch(`${nexus.origin}/tunnel`)).status).toBe(426);
    const answer = await fetch(`${nexus.origin}/nothing`);
    expect(answer.status).toBe(404);
    expect((await answer.json()).code).toBe("not_found");
  });

  test("bytes that are no handshake end the wire", async () => {
    const header = await headerOf(suite, agent);
    const { wire } = await connectWebSocket(
      { url: nexus.url, protocols: ["mercury.1"], headers: { authorization: header } },
      { clock: systemClock },
    );
    const closed = new Promise<Fault>((resolve) => wire.receive({ message: () => undefined, closed: resolve }));
    wire.send(new Uint8Array(2_000).fill(1));
    expect((await closed).code).toBe("wire_lost");
  });
});

describe("a session", () => {
  test("data streams before ready are refused", async () => {
    const { session } = await FakeSession.greet(await open());
    await session.down.send({ type: "open", plugin: "erp", cursor: null });
    await expectFault(session.down.next(), "stream_reset");
    await session.link.close("closed");
  });

  test("control messages out of turn end it", async () => {
    const { session } = await FakeSession.greet(await open());
    await session.control.send({ type: "refresh" });
    expect((await session.link.closed).code).toBe("bad_request");
  });

  test("ready for another epoch ends it", async () => {
    const { session, epoch } = await FakeSession.greet(await open());
    await session.control.send({ type: "ready", epoch: epoch + 1 });
    expect((await session.link.closed).code).toBe("bad_request");
  });

  test("a newer session displaces the older one once it is ready, not before", async () => {
    const first = await FakeSession.begin(await open());
    const second = await FakeSession.greet(await open());
    let ended = false;
    void first.link.closed.then(() => {
      ended = true;
    });
    await first.control.send({ type: "refresh" });
    await first.control.until("credential");
    expect(ended).toBe(false);
    await second.session.control.send({ type: "ready", epoch: second.epoch });
    await second.session.control.until("opened");
    expect((await first.link.closed).code).toBe("displaced");
    await second.session.link.close("closed");
  });

  test("two slots hold two sessions", async () => {
    const first = await FakeSession.begin(await open({ slot: 0 }));
    const second = await FakeSession.begin(await open({ slot: 1 }));
    await first.control.send({ type: "refresh" });
    await first.control.until("credential");
    await first.link.close("closed");
    await second.link.close("closed");
  });

  test("a slot displaced on another replica ends here", async () => {
    await using other = await startNexus({ solaris, broker: own.broker });
    const first = await FakeSession.begin(await open());
    const second = await FakeSession.begin(await openTunnel(suite, solaris, agent, other.url));
    expect((await first.link.closed).code).toBe("displaced");
    const place = await own.broker.get({ kind: "agent", agent: agent.agentId, slot: 0 });
    expect(place).toBeDefined();
    await second.link.close("closed");
    await eventually("presence is gone", async () => {
      return (await own.broker.get({ kind: "agent", agent: agent.agentId, slot: 0 })) === undefined;
    });
  });

  test("a refresh brings a credential; one that is refused for good ends the session with its code", async () => {
    const session = await FakeSession.begin(await open());
    await session.control.send({ type: "refresh" });
    expect((await session.control.until("credential")).credential).toBeString();
    agent.refuse = "suspended";
    await session.control.send({ type: "refresh" });
    expect(await session.control.until("problem")).toEqual({ type: "problem", about: "refresh", code: "suspended" });
    expect((await session.link.closed).code).toBe("suspended");
  });

  test("revocation ends the session within seconds; the others get the list", async () => {
    const bystander = await solaris.addAgent("agt_bystander");
    const revoked = await FakeSession.begin(await open());
    const other = await FakeSession.begin(await open({}, bystander));
    solaris.revoke(agent.keys.identity.identifier);
    const list = await solaris.revocations();
    await own.broker.put({ kind: "revocations" }, new TextEncoder().encode(JSON.stringify(list)));
    const began = performance.now();
    expect((await revoked.link.closed).code).toBe("revoked");
    expect(performance.now() - began).toBeLessThan(3_000);
    expect((await other.control.until("revocations")).statement).toBe(list.statement);
    expect((await refusalOf(open())).refusal).toBe("revoked");
    await other.link.close("closed");
  });

  test("what Solaris names in the answer to a digest ends, with its code", async () => {
    const session = await FakeSession.begin(await open());
    solaris.ending = [{ agentId: agent.agentId, code: "licence_expired" }];
    expect((await session.link.closed).code).toBe("licence_expired");
    solaris.ending = [];
    await eventually("the end is told", () =>
      solaris.digests.some(({ ended }) =>
        ended.some(({ agentId, code }) => agentId === agent.agentId && code === "licence_expired"),
      ),
    );
  });

  test("desired state and commands are delivered at the opening and when they change", async () => {
    const text = (value: string) => new TextEncoder().encode(value);
    await own.broker.put({ kind: "desired", agent: agent.agentId }, text("first"));
    await own.broker.publish({ kind: "command", agent: agent.agentId }, text("one"), "c1");
    const session = await FakeSession.begin(await open());
    expect((await session.control.until("desired")).statement).toBe("first");
    expect((await session.control.until("command")).statement).toBe("one");
    await own.broker.put({ kind: "desired", agent: agent.agentId }, text("second"));
    expect((await session.control.until("desired")).statement).toBe("second");
    await own.broker.publish({ kind: "command", agent: agent.agentId }, text("two"), "c2");
    expect((await session.control.until("command")).statement).toBe("two");
    await session.link.close("closed");
  });

  test("the digest tells health, host and traffic", async () => {
    const session = await FakeSession.begin(await open());
    await session.control.send({ type: "health", at: 5, desired: 3, plugins: [] });
    const told = await eventually("a digest with health", () =>
      solaris.digests
        .flatMap(({ sessions }) => sessions)
        .find(({ agentId, health }) => agentId === agent.agentId && health),
    );
    expect(told.health).toEqual({ at: 5, desired: 3, plugins: [] });
    expect(told).toMatchObject({ hostname: "site", platform: "test", version: "1", address: "127.0.0.1", slot: 0 });
    expect(told.bytesUp).toBeGreaterThan(0);
    await session.link.close("closed");
  });

  test("refused openings are counted in the digest, their subject unverified", async () => {
    const aud = "http://elsewhere.test";
    await expectFault(open({ aud }), "wire_lost");
    const { identifier } = agent.keys.identity;
    await eventually("the refusal is told", () =>
      solaris.digests.some(({ refusals }) =>
        refusals.some(({ sub, code, address }) => sub === identifier && code === "audience" && address === "127.0.0.1"),
      ),
    );
  });
});
