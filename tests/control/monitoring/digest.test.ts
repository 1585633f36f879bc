import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Digest } from "#lib/session";
import { endSilentReplicas, warnOfFailures } from "../../../control/monitoring/index.ts";
import { ControlWorld, type TestAgent } from "../../support/control-world.ts";

setDefaultTimeout(30_000);

let world: ControlWorld;
let customerId: string;
beforeAll(async () => {
  world = await ControlWorld.start();
  customerId = (await world.customer()).id;
});
afterAll(() => world[Symbol.asyncDispose]());

type Session = Digest["sessions"][number];

function sessionOf(agent: TestAgent, epoch: number, fields: Partial<Session> = {}): Session {
  const facts = { version: "1.0.0", platform: "linux-x64", hostname: "site", bytesUp: 1, bytesDown: 2 };
  return { agentId: agent.id, slot: 0, epoch, address: "192.0.2.7", since: world.clock.now(), ...facts, ...fields };
}

function digest(fields: Partial<Digest>, key?: string, nexus = world.replica?.identity.identifier ?? "") {
  return world.nexus("POST", "digest", { nexus, full: false, sessions: [], ended: [], refusals: [], ...fields }, key);
}

const status = async (agent: TestAgent) => (await world.api("GET", `/agents/${agent.id}/status`)).json;
const kinds = async (agent: TestAgent): Promise<string[]> =>
  (await world.api("GET", `/agents/${agent.id}/events`)).json.items
    .map(({ kind }: { kind: string }) => kind)
    .toSorted();

describe("digests", () => {
  test("a session makes its agent online, its end offline, each once in the history", async () => {
    const agent = await world.enrolled(customerId);
    expect(await status(agent)).toMatchObject({ online: false, since: null });
    const { epoch } = await agent.open();
    const health = {
      at: world.clock.now(),
      desired: 3,
      plugins: [{ plugin: "erp", ok: true, inboxMessages: 1, inboxBytes: 2, outboxMessages: 0, outboxBytes: 0 }],
    };
    const session = sessionOf(agent, epoch, { rttMs: { last: 1.5, p50: 2, p99: 9 }, health });
    for (let round = 0; round < 3; round++) expect((await digest({ sessions: [session] })).status).toBe(204);
    const shown = await status(agent);
    expect(shown).toMatchObject({
      online: true,
      address: "192.0.2.7",
      version: "1.0.0",
      desired: 3,
      plugins: health.plugins,
    });
    expect(shown.sessions).toMatchObject([{ slot: 0, epoch, rttMs: { last: 1.5, p50: 2, p99: 9 }, bytesUp: 1 }]);
    expect(await kinds(agent)).toEqual(["enrolled", "online"]);
    const ended = [{ agentId: agent.id, slot: 0 as const, epoch, at: world.clock.now(), code: "wire_lost" }];
    for (let round = 0; round < 2; round++) await digest({ ended });
    expect(await status(agent)).toMatchObject({ online: false, sessions: [] });
    expect(await kinds(agent)).toEqual(["enrolled", "offline", "online"]);
  });

  test("two tunnels: the end of one leaves the agent online; a late end of an older epoch changes nothing", async () => {
    const agent = await world.enrolled(customerId);
    const [one, two] = [await agent.open({ slot: 0 }), await agent.open({ slot: 1 })];
    await digest({ sessions: [sessionOf(agent, one.epoch), sessionOf(agent, two.epoch, { slot: 1 })] });
    await digest({ ended: [{ agentId: agent.id, slot: 1, epoch: two.epoch, at: world.clock.now(), code: "closed" }] });
    expect((await status(agent)).online).toBe(true);
    const newer = await agent.open({ slot: 0 });
    await digest({ sessions: [sessionOf(agent, newer.epoch)] });
    await digest({
      ended: [{ agentId: agent.id, slot: 0, epoch: one.epoch, at: world.clock.now(), code: "displaced" }],
    });
    expect(await status(agent)).toMatchObject({ online: true, sessions: [{ epoch: newer.epoch }] });
  });

  test("what changed is history: version, address, plugins; not what was heard again", async () => {
    const agent = await world.enrolled(customerId);
    const first = await agent.open();
    const plugin = { plugin: "erp", ok: true, inboxMessages: 0, inboxBytes: 0, outboxMessages: 0, outboxBytes: 0 };
    const healthy = { at: 1, desired: 1, plugins: [plugin] };
    await digest({ sessions: [sessionOf(agent, first.epoch, { health: healthy })] });
    await digest({ sessions: [sessionOf(agent, first.epoch, { health: { ...healthy, at: 2 }, bytesUp: 99 })] });
    await digest({
      sessions: [
        sessionOf(agent, first.epoch, { health: { ...healthy, plugins: [{ ...plugin, ok: false, reason: "down" }] } }),
      ],
    });
    const second = await agent.open();
    await digest({ sessions: [sessionOf(agent, second.epoch, { version: "1.1.0", address: "198.51.100.1" })] });
    expect(await kinds(agent)).toEqual(["address-changed", "enrolled", "online", "plugin-changed", "version-changed"]);
  });

  test("a full digest ends what it does not name; a silent replica loses its sessions", async () => {
    const [kept, gone] = [await world.enrolled(customerId), await world.enrolled(customerId)];
    const [a, b] = [await kept.open(), await gone.open()];
    await digest({ sessions: [sessionOf(kept, a.epoch), sessionOf(gone, b.epoch)] });
    await digest({ full: true, sessions: [sessionOf(kept, a.epoch)] });
    expect([(await status(kept)).online, (await status(gone)).online]).toEqual([true, false]);
    world.clock.shiftMs = 20_000;
    try {
      await endSilentReplicas(world.solaris.slices);
    } finally {
      world.clock.shiftMs = 0;
    }
    expect((await status(kept)).online).toBe(false);
  });

  test("the answer names who must end here, and why, until they have", async () => {
    const { id, licenceId } = await world.customer("Ending");
    const [suspended, revoked, fine] = [
      await world.enrolled(id),
      await world.enrolled(customerId),
      await world.enrolled(customerId),
    ];
    const sessions = await Promise.all(
      [suspended, revoked, fine].map(async (agent) => sessionOf(agent, (await agent.open()).epoch)),
    );
    await digest({ sessions });
    await world.api("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
    await world.api("POST", `/agents/${revoked.id}/revoke`, { reason: "stolen" });
    const { json } = await digest({});
    expect(json.end).toEqual(
      expect.arrayContaining([
        { agentId: suspended.id, code: "suspended" },
        { agentId: revoked.id, code: "revoked" },
      ]),
    );
    expect(json.end).toHaveLength(2);
    expect((await digest({})).json.end).toHaveLength(2);
    await digest({
      ended: [suspended, revoked].map((agent) => ({
        agentId: agent.id,
        slot: 0 as const,
        epoch: 1,
        at: world.clock.now(),
        code: "closed",
      })),
    });
    expect((await digest({})).status).toBe(204);
    await world.api("PATCH", `/licences/${licenceId}`, { validUntil: world.clock.now() + 20 });
    await world.api("POST", `/licences/${licenceId}/resume`);
  });

  test("an expired licence ends sessions with its own code", async () => {
    const { id, licenceId } = await world.customer("Expiring");
    const agent = await world.enrolled(id);
    await digest({ sessions: [sessionOf(agent, (await agent.open()).epoch)] });
    await world.api("PATCH", `/licences/${licenceId}`, { validUntil: world.clock.now() + 5_000 });
    world.clock.shiftMs = 6_000;
    const { json } = await digest({});
    world.clock.shiftMs = 0;
    expect(json.end).toEqual([{ agentId: agent.id, code: "licence_expired" }]);
  });

  test("a Nexus speaks only for sessions that Solaris gave to it", async () => {
    const agent = await world.enrolled(customerId);
    const { epoch } = await agent.open();
    const made = await world.api("POST", "/gateways", { name: "hostile", origins: ["https://other.test"] });
    const replica = (await world.startReplica(made.json.key)).identity.identifier;
    const lie = { sessions: [sessionOf(agent, epoch, { address: "203.0.113.9" })] };
    expect((await digest(lie, made.json.key, replica)).status).toBe(204);
    expect((await status(agent)).online).toBe(false);
    expect((await digest(lie, made.json.key)).json.code).toBe("identity_unexpected");
    await digest({ sessions: [sessionOf(agent, epoch)] });
    await digest({ ended: [{ agentId: agent.id, slot: 0, epoch, at: 0, code: "closed" }] }, made.json.key, replica);
    await digest({ full: true }, made.json.key, replica);
    expect((await status(agent)).online).toBe(true);
  });

  test("10,000 sessions in one digest are a few statements", async () => {
    const agent = await world.enrolled(customerId);
    const { epoch } = await agent.open();
    const many = Array.from({ length: 10_000 }, (_, index) => ({
      ...sessionOf(agent, epoch),
      agentId: `agt_${index}`,
    }));
    const began = performance.now();
    expect((await digest({ full: true, sessions: [...many, sessionOf(agent, epoch)] })).status).toBe(204);
    expect(performance.now() - began).toBeLessThan(5_000);
    expect((await status(agent)).online).toBe(true);
  });

  test("many failures within minutes are one warning, also when somebody only claims to be the agent", async () => {
    const agent = await world.enrolled(customerId);
    const refusals = [
      {
        address: "203.0.113.5",
        code: "authorization_invalid",
        sub: agent.identifier,
        minute: world.clock.now(),
        count: 40,
      },
    ];
    await digest({ refusals });
    for (let round = 0; round < 2; round++) await warnOfFailures(world.solaris.slices);
    const { json } = await world.api("GET", `/agents/${agent.id}/events`);
    const warnings = json.items.filter(({ warning }: { warning: boolean }) => warning);
    expect(warnings).toMatchObject([{ kind: "many-failures", detail: { count: 40, addresses: 1 } }]);
  });

  test("counts say how many agents are in which state", async () => {
    const { id } = await world.customer("Counting");
    await world.agent(id);
    const online = await world.enrolled(id);
    await world.enrolled(id);
    await digest({ sessions: [sessionOf(online, (await online.open()).epoch)] });
    const { json } = await world.api("GET", `/status/counts?customerId=${id}`);
    expect(json).toEqual({ pending: 1, online: 1, offline: 1, held: 0, revoked: 0 });
    const listed = await world.api("GET", `/status?customerId=${id}&online=true`);
    expect(listed.json.items.map(({ agentId }: { agentId: string }) => agentId)).toEqual([online.id]);
  });
});
