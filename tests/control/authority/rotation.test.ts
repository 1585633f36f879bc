import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { base64url, decodeJson, fromUtf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { isExtension, verifyIdentity } from "#lib/identity";
import { verifyCredential, verifyDesired, verifyRevocation } from "#lib/statement";
import { exportLineSchema, verifyLog } from "../../../control/audit/index.ts";
import { ControlWorld } from "../../support/control-world.ts";
import { eventually } from "../../support/eventually.ts";

setDefaultTimeout(30_000);

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

describe("rotation of the authority", () => {
  test("the chain grows, all is signed anew, the former keys are gone, and everyone goes on", async () => {
    const { id } = await world.customer();
    const agent = await world.enrolled(id);
    const waiting = await world.agent(id);
    const { epoch } = await agent.open();
    await world.api("PUT", `/agents/${agent.id}/plugins/files`, {
      type: "file",
      config: { down: { directory: "/x" } },
    });
    const before = await agent.authority();
    const list = (await world.nexus("GET", "revocations")).json.number;
    const oldCredential = (await world.nexus("POST", "refresh", { agentId: agent.id, slot: 0, epoch })).json.credential;

    expect((await world.api("POST", "/authority/rotate")).status).toBe(200);
    expect((await world.api("POST", "/authority/rotate")).json.code).toBe("conflict");
    const after = await agent.authority();
    expect(isExtension(after, before)).toBe(true);
    expect(after.changes).toHaveLength(2);
    const now = world.clock.now();
    const revocations = (await world.nexus("GET", "revocations")).json;
    expect(revocations.number).toBe(list + 1);
    await verifyRevocation(webSuite, revocations.statement, { authority: after, now });
    const pushed = await world.broker.get({ kind: "revocations" });
    expect(decodeJson(pushed?.bytes ?? new Uint8Array())).toEqual(revocations);

    // What was issued before is good for its life; what is issued now is by the new key.
    await verifyCredential(webSuite, oldCredential, { authority: after, subject: agent.own.identity, now });
    const refreshed = (await world.nexus("POST", "refresh", { agentId: agent.id, slot: 0, epoch })).json;
    expect(refreshed.authority).toBe(base64url(after.chain));
    await verifyCredential(webSuite, refreshed.credential, { authority: after, subject: agent.own.identity, now });

    world.clock.shiftMs = 6_000;
    await eventually(
      "the former keys are destroyed",
      () => world.kmsEvents.filter(({ operation }) => operation === "destroy").length === 2,
    );
    expect(world.kms.sign("authority/1/sign", new Uint8Array(1))).rejects.toMatchObject({ code: "not_found" });
    const desired = await world.broker.get({ kind: "desired", agent: agent.id });
    const jws = fromUtf8(await agent.keys.unseal(fromUtf8(desired?.bytes ?? new Uint8Array())));
    const claims = await verifyDesired(webSuite, jws, {
      authority: after,
      recipient: agent.identifier,
      now: world.clock.now(),
    });
    expect(claims.number).toBeGreaterThan(1);

    // A token from before the rotation still enrolls.
    const { TestAgent } = await import("../../support/control-world.ts");
    const late = await TestAgent.make(world, waiting.id);
    await late.enroll(waiting.token);
    await eventually(
      "the rotation is finished",
      async () => (await world.api("POST", "/authority/rotate")).status === 200,
    );
  }, 60_000);

  test("the audit log verifies across a rotation", async () => {
    const { json } = await world.api("GET", "/audit/export");
    async function* lines() {
      for (const line of String(json).trim().split("\n")) yield exportLineSchema.parse(JSON.parse(line));
    }
    const found = await verifyLog(webSuite, lines(), { authority: world.solaris.authority, now: world.clock.now() });
    expect(found.problems).toEqual([]);
  });

  test("a revocation list that is overtaken on its way to the broker does not replace a newer one", async () => {
    const { id } = await world.customer();
    const agents = await Promise.all(Array.from({ length: 6 }, () => world.enrolled(id)));
    await Promise.all(agents.map((agent) => world.api("POST", `/agents/${agent.id}/revoke`, { reason: "race" })));
    const { json } = await world.nexus("GET", "revocations");
    const value = await world.broker.get({ kind: "revocations" });
    expect(decodeJson(value?.bytes ?? new Uint8Array())).toMatchObject({ number: json.number });
    await verifyIdentity(webSuite, Buffer.from(json.authority, "base64url"), { now: world.clock.now() });
  });
});
