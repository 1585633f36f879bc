import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { equalBytes, fromUtf8, utf8 } from "#lib/bytes";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry } from "#lib/session";
import { eventually } from "#support/eventually";
import { encodeUp } from "../../../agent/store/up-letters.ts";
import { CorrectedClock } from "../../../agent/tunnel/corrected-clock.ts";
import { AgentWorld } from "./agent-world.ts";

setDefaultTimeout(30_000);

let world: AgentWorld | undefined;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function begin(): Promise<AgentWorld> {
  const made = await AgentWorld.create();
  world = made;
  return made;
}

const online = (tunnel: { status: { state: string } }) =>
  eventually("online", () => tunnel.status.state === "online", { everyMs: 5 });

describe("a tunnel", () => {
  test("opens, keeps what Solaris drew before it says ready, takes data in both directions", async () => {
    const w = await begin();
    const { store, agent } = await w.enrolled();
    const lane = await store.lanes.lane("erp");
    w.lanes = [lane];
    await w.push("erp", "one");
    const received: string[] = [];
    const up = await w.broker.open(
      { kind: "up" },
      {
        cursor: undefined,
        onEntry: (entry) => {
          for (const message of decodeUpEntry(entry.bytes).messages) received.push(fromUtf8(message.body));
          up.confirm(entry.seq);
        },
        onClosed: () => undefined,
      },
    );
    await lane.outbox.append([encodeUp({ kind: "data", id: "u1", time: 1, body: utf8("from the site") })]);
    const { tunnel } = await w.tunnel(store);
    await online(tunnel);
    expect(await store.cloud.slot(0)).toMatchObject({ epoch: 1 });
    expect(equalBytes((await store.cloud.slot(0))?.continuity ?? new Uint8Array(), agent.continuity)).toBe(true);
    expect((await store.cloud.enrollment())?.token).toBeNull();
    await eventually("stored", () => lane.inbox.cursor !== null);
    const entry = await lane.inbox.next();
    expect(fromUtf8(entry?.messages[0]?.body ?? new Uint8Array())).toBe("one");
    await eventually("received", () => received.length === 1);
    expect(received).toEqual(["from the site"]);
    await eventually("deleted", () => lane.outbox.held().messages === 0);
    await eventually("health", () => w.healths > 0);
    await w.push("erp", "two");
    await eventually("second stored", () => lane.inbox.held().messages === 2);
    await up.close();
    expect(w.solaris.calls.get("authorize")).toBe(1);
  });

  test("fetches the list that its credential names, and keeps it", async () => {
    const w = await begin();
    w.solaris.revoke("I".padEnd(65, "0"));
    const { store } = await w.enrolled();
    const { tunnel, trust } = await w.tunnel(store);
    await online(tunnel);
    expect(trust.freshness.revocations).toBe(2);
    expect(trust.isRevoked("I".padEnd(65, "0"))).toBe(true);
    expect((await store.cloud.authority())?.freshness.revocations).toBe(2);
  });

  test("comes back after its Nexus is gone, and goes on where the lanes were", async () => {
    const w = await begin();
    const { store } = await w.enrolled();
    const lane = await store.lanes.lane("erp");
    w.lanes = [lane];
    const { tunnel } = await w.tunnel(store);
    await online(tunnel);
    await w.push("erp", "one");
    await eventually("stored", () => lane.inbox.cursor !== null);
    const former = await w.anotherNexus();
    await former[Symbol.asyncDispose]();
    await w.push("erp", "two");
    await eventually("stored again", () => lane.inbox.held().messages === 2);
    const texts: string[] = [];
    for (let entry = await lane.inbox.next(); entry !== undefined; entry = await lane.inbox.next())
      texts.push(...entry.messages.map((message) => fromUtf8(message?.body ?? new Uint8Array())));
    expect(texts).toEqual(["one", "two"]);
  });

  test("moves to another replica when it is asked to, without a moment offline", async () => {
    const w = await begin();
    const { store } = await w.enrolled();
    const lane = await store.lanes.lane("erp");
    w.lanes = [lane];
    let offline = 0;
    let watched = false;
    const { tunnel } = await w.tunnel(store, {
      onChange: () => {
        if (watched && tunnel.status.state !== "online") offline++;
      },
    });
    await online(tunnel);
    watched = true;
    expect(tunnel.session?.slot).toBe(0);
    const former = await w.anotherNexus();
    const draining = former.nexus[Symbol.asyncDispose]();
    await eventually("moved", () => tunnel.session?.slot === 1);
    await draining;
    await former[Symbol.asyncDispose]();
    watched = false;
    await w.push("erp", "after");
    await eventually("stored", () => lane.inbox.held().messages === 1);
    expect(tunnel.status.state).toBe("online");
    expect(offline).toBe(0);
  });

  test("says what a refusal means, keeps its identity, and is let in once the reason is gone", async () => {
    const w = await begin();
    const { store, agent } = await w.enrolled();
    agent.refuse = "suspended";
    const { tunnel } = await w.tunnel(store);
    await eventually("refused", () => tunnel.status.code === "suspended");
    expect(tunnel.status).toMatchObject({ state: "waiting", nextTryAt: expect.any(Number) });
    expect(tunnel.status.reason).toContain("licence is suspended");
    expect(await store.identity.current()).toBeDefined();
    delete agent.refuse;
    tunnel.reconnect();
    await online(tunnel);
  });

  test("a machine whose clock is a day wrong is set right by Solaris' own word, once", async () => {
    for (const wrongMs of [-86_400_000, 86_400_000]) {
      const w = await begin();
      const { store } = await w.enrolled();
      const machine = { ...systemClock, now: () => systemClock.now() + wrongMs };
      const { tunnel, clock } = await w.tunnel(store, { clock: new CorrectedClock(machine) });
      await online(tunnel);
      expect(Math.abs(clock.now() - systemClock.now())).toBeLessThan(20_000);
      expect(w.solaris.calls.get("authorize")).toBe(2);
      await w[Symbol.asyncDispose]();
      world = undefined;
    }
  });

  test("an agent that was away for longer than its credential lives is let in, and gets a fresh one", async () => {
    const w = await begin();
    const { store, agent } = await w.enrolled("agent-1", -7_200_000);
    const { tunnel, trust } = await w.tunnel(store);
    await online(tunnel);
    await eventually("refreshed", () => trust.credential.jws !== agent.credential);
    expect((await store.cloud.enrollment())?.credential).toBe(trust.credential.jws);
    expect(trust.credential.claims?.exp).toBeGreaterThan(systemClock.now() / 1_000);
  });

  test("an identity change that the cloud refuses does not cost the node its credential", async () => {
    const w = await begin();
    const { store, agent } = await w.enrolled();
    agent.refuseChanges = true;
    await store.identity.beginRotation();
    const { tunnel, trust } = await w.tunnel(store);
    await online(tunnel);
    await eventually("a credential for the change before", () => trust.credential.jws !== agent.credential);
    expect(await store.identity.pending()).toBeDefined();
  });

  test("a pushed revocation of its Nexus ends the session", async () => {
    const w = await begin();
    const { store } = await w.enrolled();
    const { tunnel } = await w.tunnel(store);
    await online(tunnel);
    const nexus = tunnel.session?.link.peer.identity.identifier ?? "";
    w.solaris.revoke(nexus);
    await eventually("ended", () => tunnel.status.code === "revoked" || tunnel.status.state !== "online");
  });

  test("never gives up when nothing answers, and ends at once when it is told to", async () => {
    const w = await begin();
    const { store } = await w.enrolled();
    await w.nexus[Symbol.asyncDispose]();
    const { tunnel } = await w.tunnel(store);
    await eventually("failed", () => tunnel.status.code !== undefined);
    expect(tunnel.status.state).toBe("waiting");
    await tunnel[Symbol.asyncDispose]();
    expect(tunnel.status.state).toBe("stopped");
  });
});

test("an outbox behind what ingest has is numbered anew, and a warning is told", async () => {
  const w = await begin();
  const { store, agent } = await w.enrolled();
  agent.lanes = [{ plugin: "erp", generation: 3, number: 50 }];
  const lane = await store.lanes.lane("erp");
  await lane.outbox.append([encodeUp({ kind: "data", id: "u1", time: 1, body: systemRandom(10) })]);
  const { tunnel } = await w.tunnel(store);
  await online(tunnel);
  await eventually("renewed", () => lane.outbox.generation === 4);
  expect(w.warnings.length).toBe(1);
});
