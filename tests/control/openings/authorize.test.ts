import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { base64url, fromBase64url } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { readAuthorizationUnverified, verifyAnswer } from "#lib/statement";
import { ControlWorld, TestAgent } from "../../support/control-world.ts";

let world: ControlWorld;
let customerId: string;
beforeAll(async () => {
  world = await ControlWorld.start();
  customerId = (await world.customer()).id;
});
afterAll(() => world[Symbol.asyncDispose]());

const agreements = () => world.kmsEvents.filter(({ operation }) => operation === "agree").length;

/** The last openings of an agent, as the API shows them. */
async function outcomes(agentId: string): Promise<string[]> {
  const { json } = await world.api("GET", `/agents/${agentId}/openings`);
  return json.items.map(({ outcome }: { outcome: string }) => outcome);
}

describe("authorize", () => {
  test("a good header is accepted: epoch, continuity value, numbers", async () => {
    const agent = await world.enrolled(customerId);
    const { json } = await agent.authorize(await agent.header());
    expect(json).toMatchObject({
      decision: "accept",
      agentId: agent.id,
      customerId,
      identifier: agent.identifier,
      slot: 0,
      epoch: 1,
    });
    expect(await outcomes(agent.id)).toEqual(["accepted"]);
  });

  test("one KMS use for an opening, told to the audit with who asked; none for what can't be judged", async () => {
    const agent = await world.enrolled(customerId);
    const before = agreements();
    await agent.open();
    expect(agreements()).toBe(before + 1);
    expect(world.kmsEvents.findLast(({ operation }) => operation === "agree")?.use).toMatchObject({
      purpose: "opening",
      subject: agent.id,
      detail: { gateway: world.gatewayId, address: "192.0.2.7" },
    });
    await agent.authorize("Mercury not.a.jws");
    await agent.authorize(await agent.header({ kid: "0".repeat(64) }));
    const stranger = await TestAgent.make(world, agent.id);
    stranger.enrollment = agent.enrollment;
    const { json } = await stranger.authorize(await stranger.header());
    expect(json).toEqual({ decision: "deny", unknown: true });
    const ready = { agentId: agent.id, slot: 0, epoch: 2 };
    await world.nexus("POST", "ready", ready);
    await world.nexus("POST", "refresh", ready);
    await world.nexus("GET", "revocations");
    expect(agreements()).toBe(before + 1);
  });

  test("a header is good once, also when it is shown twice at once", async () => {
    const agent = await world.enrolled(customerId);
    const header = await agent.header();
    const answers = await Promise.all([agent.authorize(header), agent.authorize(header), agent.authorize(header)]);
    const codes = answers.map(({ json }) => (json.decision === "refuse" ? json.code : json.decision)).sort();
    expect(codes).toEqual(["accept", "authorization_replayed", "authorization_replayed"]);
  });

  test("a header for another gateway is refused, and spends no jti there", async () => {
    const agent = await world.enrolled(customerId);
    const { json } = await agent.authorize(await agent.header({ aud: "https://elsewhere.test" }));
    expect(json).toMatchObject({ decision: "refuse", code: "audience" });
  });

  test("a wrong clock is named, with Solaris' own time under a MAC that only the agent can check", async () => {
    const agent = await world.enrolled(customerId);
    const header = await agent.header({ now: world.clock.now() - 86_400_000 });
    const { json } = await agent.authorize(header);
    if (json.decision !== "refuse") throw new RangeError("not refused");
    expect(json.code).toBe("clock");
    const { jti } = readAuthorizationUnverified(header).claims;
    const answer = fromBase64url(json.answer) ?? new Uint8Array();
    const told = await verifyAnswer(webSuite, await agent.headerKeys(), answer, { jti });
    expect(told.code).toBe("clock");
    expect(Math.abs(told.timeMs - world.clock.now())).toBeLessThan(5_000);
    const other = await world.enrolled(customerId);
    expect(verifyAnswer(webSuite, await other.headerKeys(), answer, { jti })).rejects.toMatchObject({
      code: "authorization_invalid",
    });
  });

  test("nobody learns anything before the MAC holds", async () => {
    const agent = await world.enrolled(customerId);
    const header = await agent.header();
    const forged = `${header.slice(0, -4)}${header.endsWith("AAAA") ? "BBBA" : "AAAA"}`;
    const { status, json } = await agent.authorize(forged);
    expect(status).toBe(200);
    expect(json).toEqual({ decision: "deny", unknown: false });
    const refused = (await world.api("GET", `/agents/${agent.id}/refusals`)).json.items;
    expect(refused).toMatchObject([{ code: "authorization_invalid", verified: false, count: 1 }]);
    expect(await outcomes(agent.id)).toEqual([]);
  });

  test("a revoked agent is told so", async () => {
    const agent = await world.enrolled(customerId);
    await agent.open();
    await world.api("POST", `/agents/${agent.id}/revoke`, { reason: "stolen" });
    const { json } = await agent.authorize(await agent.header());
    expect(json).toMatchObject({ decision: "refuse", code: "revoked" });
  });

  test("a licence that is suspended or out of date opens nothing, each with its own code", async () => {
    const { id, licenceId } = await world.customer("Late");
    const agent = await world.enrolled(id);
    await world.api("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
    expect((await agent.authorize(await agent.header())).json).toMatchObject({ code: "suspended" });
    await world.api("POST", `/licences/${licenceId}/resume`);
    await world.api("PATCH", `/licences/${licenceId}`, { validUntil: world.clock.now() + 5_000 });
    world.clock.shiftMs = 6_000;
    expect((await agent.authorize(await agent.header())).json).toMatchObject({ code: "licence_expired" });
    world.clock.shiftMs = 0;
    await world.api("PATCH", `/licences/${licenceId}`, { validUntil: null });
    await agent.open();
  });

  test("a dedicated gateway serves its customer alone", async () => {
    const other = await world.customer("Other");
    const made = await world.api("POST", "/gateways", {
      name: "own",
      origins: [ControlWorld.origin],
      customerId: other.id,
    });
    const replica = (await world.startReplica(made.json.key)).identity.identifier;
    const agent = await world.enrolled(customerId);
    const asked = await agent.authorize(await agent.header(), { key: made.json.key, nexus: replica });
    expect(asked.json).toMatchObject({ decision: "refuse", code: "audience" });
    const { epoch } = await agent.open();
    const session = { agentId: agent.id, slot: 0, epoch };
    expect((await world.nexus("POST", "refresh", session, made.json.key)).json.code).toBe("identity_unexpected");
  });

  test("another gateway says neither ready nor refresh for a session that was not opened there", async () => {
    const made = await world.api("POST", "/gateways", { name: "third", origins: [ControlWorld.origin] });
    await world.startReplica(made.json.key);
    const agent = await world.enrolled(customerId);
    const { json } = await agent.authorize(await agent.header());
    if (json.decision !== "accept") throw new RangeError("not accepted");
    const session = { agentId: agent.id, slot: 0, epoch: json.epoch };
    for (const path of ["ready", "refresh"])
      expect((await world.nexus("POST", path, session, made.json.key)).json.code).toBe("identity_unexpected");
    expect((await world.nexus("POST", "ready", session)).status).toBe(204);
  });

  test("a replica that was not started under the asking key may ask nothing", async () => {
    const agent = await world.enrolled(customerId);
    const made = await world.api("POST", "/gateways", { name: "second", origins: [ControlWorld.origin] });
    const answer = await agent.authorize(await agent.header(), { key: made.json.key });
    expect(answer.json).toMatchObject({ code: "identity_unexpected" });
    expect((await agent.authorize(await agent.header(), { key: "nexus_forged" })).status).toBe(401);
  });
});

describe("continuity", () => {
  test("the newest value goes on; until ready the one before does too", async () => {
    const agent = await world.enrolled(customerId);
    await agent.open();
    const stored = agent.continuity.get(0) ?? null;
    const first = (await agent.authorize(await agent.header())).json;
    expect(first).toMatchObject({ decision: "accept", epoch: 2 });
    // The welcome was lost: the agent comes with the value that it has.
    expect((await agent.authorize(await agent.header({ continuity: stored }))).json).toMatchObject({
      decision: "accept",
      epoch: 3,
    });
    await agent.open({ continuity: stored });
    expect((await agent.authorize(await agent.header({ continuity: stored }))).json).toMatchObject({ code: "copied" });
    await agent.open();
  });

  test("a copied store is noticed at its first contact, also with the original off", async () => {
    const agent = await world.enrolled(customerId);
    await agent.open();
    const backup = agent.continuity.get(0) ?? null;
    await agent.open();
    expect((await agent.authorize(await agent.header({ continuity: backup }))).json).toMatchObject({
      decision: "refuse",
      code: "copied",
    });
    expect((await agent.authorize(await agent.header({ continuity: null }))).json).toMatchObject({
      decision: "refuse",
      code: "copied",
    });
    const { json } = await world.api("GET", `/agents/${agent.id}/events`);
    expect(
      json.items.filter(({ kind, warning }: { kind: string; warning: boolean }) => kind === "copy-seen" && warning),
    ).toHaveLength(1);
    await agent.open();
  });

  test("policy replace: whoever comes goes on, and the other is then the copy", async () => {
    const agent = await world.enrolled(customerId, { copyPolicy: "replace" });
    await agent.open();
    const backup = agent.continuity.get(0) ?? null;
    await agent.open();
    expect((await agent.authorize(await agent.header({ continuity: backup }))).json).toMatchObject({
      decision: "accept",
    });
  });

  test("policy hold: both wait for a person, who says which goes on", async () => {
    const agent = await world.enrolled(customerId, { copyPolicy: "hold" });
    await agent.open();
    const backup = agent.continuity.get(0) ?? null;
    await agent.open();
    expect((await agent.authorize(await agent.header({ continuity: backup }))).json).toMatchObject({ code: "held" });
    expect((await agent.authorize(await agent.header())).json).toMatchObject({ code: "held" });
    expect((await world.api("GET", `/agents/${agent.id}`)).json.state).toBe("held");
    await world.api("POST", `/agents/${agent.id}/release`, { keep: "next" });
    await agent.open({ continuity: backup });
  });

  test("two slots have values and epochs of their own", async () => {
    const agent = await world.enrolled(customerId);
    await agent.open({ slot: 0 });
    await agent.open({ slot: 1 });
    expect(await agent.open({ slot: 0 })).toMatchObject({ epoch: 2 });
    expect(await agent.open({ slot: 1 })).toMatchObject({ epoch: 2 });
  });

  test("one slot asked for by many at once gives every epoch once", async () => {
    const agent = await world.enrolled(customerId);
    const headers = await Promise.all(Array.from({ length: 8 }, () => agent.header()));
    const answers = await Promise.all(headers.map((header) => agent.authorize(header)));
    const epochs = answers.flatMap(({ json }) => (json.decision === "accept" ? [json.epoch] : []));
    expect(new Set(epochs).size).toBe(epochs.length);
    expect(epochs.length).toBeGreaterThan(0);
  });

  test("ready for an epoch that is not the newest is displaced; said twice it is fine", async () => {
    const agent = await world.enrolled(customerId);
    const { epoch } = await agent.open();
    const session = { agentId: agent.id, slot: 0, epoch };
    expect((await world.nexus("POST", "ready", session)).status).toBe(204);
    await agent.authorize(await agent.header());
    expect((await world.nexus("POST", "ready", session)).json.code).toBe("displaced");
  });
});

describe("refresh", () => {
  test("a rotation is registered with its credential; the change before counts until the new one was used", async () => {
    const { extendIdentity, nodeKeys } = await import("#lib/identity");
    const { systemRandom } = await import("#lib/runtime");
    const agent = await world.enrolled(customerId);
    const { epoch } = await agent.open();
    const former = { own: agent.own, keys: agent.keys };
    agent.own = await extendIdentity(webSuite, systemRandom, agent.own, { now: world.clock.now() });
    agent.keys = await nodeKeys(webSuite, agent.own.secrets, agent.own.identity);
    const session = { agentId: agent.id, slot: 0, epoch };
    const chain = base64url(agent.own.chain);
    const { status, json } = await world.nexus("POST", "refresh", { ...session, chain });
    expect(status).toBe(200);
    const { verifyCredential } = await import("#lib/statement");
    const authority = await agent.authority();
    const now = world.clock.now();
    await verifyCredential(webSuite, json.credential, { authority, subject: agent.own.identity, now });
    // The answer may have been lost: once more is fine, and the former key still opens.
    expect((await world.nexus("POST", "refresh", { ...session, chain })).status).toBe(200);
    const rotated = { own: agent.own, keys: agent.keys };
    Object.assign(agent, former);
    await agent.open();
    Object.assign(agent, rotated);
    await agent.open();
    Object.assign(agent, former);
    expect((await agent.authorize(await agent.header())).json).toEqual({ decision: "deny", unknown: false });
  });

  test("a fork of the chain and a chain of another identity are refused", async () => {
    const { extendIdentity } = await import("#lib/identity");
    const { systemRandom } = await import("#lib/runtime");
    const agent = await world.enrolled(customerId);
    const { epoch } = await agent.open();
    const session = { agentId: agent.id, slot: 0, epoch };
    const now = world.clock.now();
    const [one, two] = [
      await extendIdentity(webSuite, systemRandom, agent.own, { now }),
      await extendIdentity(webSuite, systemRandom, agent.own, { now }),
    ];
    expect((await world.nexus("POST", "refresh", { ...session, chain: base64url(one.chain) })).status).toBe(200);
    expect((await world.nexus("POST", "refresh", { ...session, chain: base64url(two.chain) })).json.code).toBe(
      "identity_invalid",
    );
    expect((await world.nexus("POST", "refresh", { ...session, chain: base64url(agent.own.chain) })).json.code).toBe(
      "statement_stale",
    );
    const other = await world.enrolled(customerId);
    expect((await world.nexus("POST", "refresh", { ...session, chain: base64url(other.own.chain) })).json.code).toBe(
      "identity_unexpected",
    );
  });

  test("credentials take the licence's attributes at each issue; a suspended one issues none", async () => {
    const { id, licenceId } = await world.customer("Changing", { tier: "silver", capabilities: ["push"] });
    const agent = await world.enrolled(id);
    const { epoch } = await agent.open();
    const session = { agentId: agent.id, slot: 0, epoch };
    expect(agent.enrollment?.credential.attrs.tier).toBe("silver");
    await world.api("PATCH", `/licences/${licenceId}`, { tier: "gold", capabilities: ["push", "pull"] });
    const { json } = await world.nexus("POST", "refresh", session);
    const claims = JSON.parse(Buffer.from(json.credential.split(".")[1], "base64url").toString());
    expect(claims.attrs).toMatchObject({ tier: "gold", capabilities: ["push", "pull"] });
    await world.api("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
    expect((await world.nexus("POST", "refresh", session)).json.code).toBe("suspended");
  });
});
