import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ControlWorld, TestAgent } from "../../support/control-world.ts";

setDefaultTimeout(30_000);

let world: ControlWorld;
let customerId: string;
beforeAll(async () => {
  world = await ControlWorld.start();
  customerId = (await world.customer()).id;
});
afterAll(() => world[Symbol.asyncDispose]());

describe("enrollment", () => {
  test("a token becomes a trusted identity, with a credential under the licence", async () => {
    const { id, token } = await world.agent(customerId, { attributes: { site: "berlin" } });
    const agent = await TestAgent.make(world, id);
    const { agentId, credential } = await agent.enroll(token);
    expect(agentId).toBe(id);
    expect(credential.sub).toBe(agent.identifier);
    expect(credential.attrs).toEqual({
      site: "berlin",
      tier: "gold",
      capabilities: [],
      rate_limit_rpm: 600,
      backend_access: ["*"],
      role: "edge",
      customer_id: customerId,
      agent_id: id,
    });
    const { json } = await world.api("GET", `/agents/${id}`);
    expect(json.state).toBe("enrolled");
    expect(json.trust.tokens[0]).toMatchObject({
      redeemedBy: agent.identifier,
      address: "192.0.2.7",
      hostname: "site-host",
    });
  });

  test("100 identities at once: one is enrolled, the others are told that the token is used", async () => {
    const { id, token } = await world.agent(customerId);
    const rivals = await Promise.all(Array.from({ length: 100 }, () => TestAgent.make(world, id)));
    const answers = await Promise.all(rivals.map((rival) => rival.tryEnroll(token)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === "token_used")).toHaveLength(99);
    const { json } = await world.api("GET", `/agents/${id}/events`);
    expect(json.items.filter(({ kind }: { kind: string }) => kind === "token-reused")).toHaveLength(1);
  });

  test("100 requests of one identity at once all get the same key", async () => {
    const { id, token } = await world.agent(customerId);
    const agent = await TestAgent.make(world, id);
    const answers = await Promise.all(Array.from({ length: 100 }, () => agent.tryEnroll(token)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    const read = await Promise.all(answers.map(({ json }) => agent.readEnrollment(token, json.answer)));
    expect(new Set(read.map(({ solarisKey }) => Buffer.from(solarisKey).toString("hex"))).size).toBe(1);
  });

  test("a lost answer: the same identity gets it again, even out of date, until its tunnel was ready", async () => {
    const { id, token } = await world.agent(customerId, { tokenLifeMs: 60_000 });
    const agent = await TestAgent.make(world, id);
    const first = await agent.enroll(token);
    world.clock.shiftMs = 120_000;
    try {
      const second = await agent.enroll(token);
      expect(second.solarisKey).toEqual(first.solarisKey);
      expect(second.credential.jti).not.toBe(first.credential.jti);
      await agent.open();
      expect((await agent.tryEnroll(token)).json.code).toBe("enrolled");
    } finally {
      world.clock.shiftMs = 0;
    }
  });

  test("a token out of date, and one that was cancelled, enroll nobody", async () => {
    const { id, token } = await world.agent(customerId, { tokenLifeMs: 60_000 });
    const agent = await TestAgent.make(world, id);
    world.clock.shiftMs = 61_000;
    try {
      expect((await agent.tryEnroll(token)).json.code).toBe("token_expired");
    } finally {
      world.clock.shiftMs = 0;
    }
    await world.api("POST", `/agents/${id}/reissue`, {});
    const cancelled = await agent.tryEnroll(token);
    expect(cancelled.json.code).toBe("token_invalid");
    expect(cancelled.status).toBe(401);
  });

  test("another secret under a known token id is as unknown as an unknown token", async () => {
    const mine = await world.agent(customerId);
    const agent = await TestAgent.make(world, mine.id);
    const { decodeEnrollmentToken, encodeEnrollmentToken } = await import("#lib/statement");
    const { webSuite } = await import("#lib/crypto");
    const decoded = await decodeEnrollmentToken(webSuite, mine.token);
    const forged = await encodeEnrollmentToken(webSuite, { ...decoded, secret: new Uint8Array(32).fill(9) });
    const unknown = await encodeEnrollmentToken(webSuite, { ...decoded, tokenId: "tok_unknown" });
    const [a, b] = [await agent.tryEnroll(forged), await agent.tryEnroll(unknown)];
    expect([a.json.code, b.json.code]).toEqual(["token_invalid", "token_invalid"]);
    expect(a.json.detail).toBe(b.json.detail);
  });

  test("a request that is changed, or sealed to another authority, is refused", async () => {
    const { id, token } = await world.agent(customerId);
    const agent = await TestAgent.make(world, id);
    const request = await agent.enrollmentRequest(token);
    const at = request.length - 10;
    const changed = `${request.slice(0, at)}${request[at] === "A" ? "B" : "A"}${request.slice(at + 1)}`;
    const { json } = await world.nexus("POST", "enroll", { request: changed, address: "192.0.2.7" });
    expect(["crypto", "malformed"]).toContain(json.code);
    await agent.enroll(token);
  });

  test("an identity belongs to one agent for ever", async () => {
    const agent = await world.enrolled(customerId);
    const other = await world.agent(customerId);
    expect((await agent.tryEnroll(other.token)).json.code).toBe("enrolled");
    const again = (await world.api("POST", `/agents/${agent.id}/reissue`, {})).json.token;
    expect((await agent.tryEnroll(again)).json.code).toBe("enrolled");
  });

  test("a reissued token revokes the former identity, which is told so", async () => {
    const former = await world.enrolled(customerId);
    await former.open();
    const before = (await world.nexus("GET", "revocations")).json.number;
    const { token } = (await world.api("POST", `/agents/${former.id}/reissue`, {})).json;
    const next = await TestAgent.make(world, former.id);
    await next.enroll(token);
    await next.open();
    expect((await world.nexus("GET", "revocations")).json.number).toBe(before + 1);
    const { json } = await former.authorize(await former.header());
    expect(json).toMatchObject({ decision: "refuse", code: "revoked" });
  });

  test("a revoked agent's token enrolls nobody; its identity never again", async () => {
    const { id, token } = await world.agent(customerId);
    await world.api("POST", `/agents/${id}/revoke`, { reason: "lost" });
    const agent = await TestAgent.make(world, id);
    expect((await agent.tryEnroll(token)).json.code).toBe("token_invalid");
    const enrolled = await world.agent(customerId);
    const other = await TestAgent.make(world, enrolled.id);
    await other.enroll(enrolled.token);
    await world.api("POST", `/agents/${enrolled.id}/revoke`, { reason: "stolen" });
    expect((await other.tryEnroll(enrolled.token)).json.code).toBe("revoked");
  });

  test("a suspended licence refuses without spending the token", async () => {
    const { id: customer, licenceId } = await world.customer("Suspended");
    const { id, token } = await world.agent(customer);
    const agent = await TestAgent.make(world, id);
    await world.api("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
    expect((await agent.tryEnroll(token)).json.code).toBe("suspended");
    await world.api("POST", `/licences/${licenceId}/resume`);
    await agent.enroll(token);
  });
});
