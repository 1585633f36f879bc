import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { base64url, decodeJson } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity } from "#lib/identity";
import { systemRandom } from "#lib/runtime";
import { revokedIdentifiers, verifyCredential, verifyRevocation } from "#lib/statement";
import { originOf } from "../../../control/gateways/rules.ts";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

const makeGateway = async (fields: object = {}) =>
  (await world.api("POST", "/gateways", { name: "g", origins: ["https://g.test"], ...fields })).json;

describe("gateways", () => {
  test("a replica gets a credential of role nexus, without a customer", async () => {
    const { key, gateway } = await makeGateway();
    const own = await createIdentity(webSuite, systemRandom, { now: world.clock.now() });
    const { json } = await world.nexus(
      "POST",
      "start",
      { version: "1", chain: base64url(own.chain), hostname: "h" },
      key,
    );
    expect(json).toMatchObject({ gatewayId: gateway.id, customerId: null, origins: ["https://g.test"] });
    const customer = await world.customer();
    const authority = await (await world.enrolled(customer.id)).authority();
    const credential = await verifyCredential(webSuite, json.credential, {
      authority,
      subject: own.identity,
      now: world.clock.now(),
    });
    expect(credential.attrs).toEqual({ role: "nexus", gateway_id: gateway.id });
    const list = await verifyRevocation(webSuite, json.revocations, { authority, now: world.clock.now() });
    expect(list.number).toBeGreaterThanOrEqual(1);
    const shown = (await world.api("GET", `/gateways/${gateway.id}`)).json;
    expect(shown.replicas).toMatchObject([{ identifier: own.identity.identifier, hostname: "h" }]);
  });

  test("no replica takes the identity of an agent, or of another gateway's replica", async () => {
    const { id } = await world.customer();
    const agent = await world.enrolled(id);
    const body = { version: "1", chain: base64url(agent.own.chain), hostname: "h" };
    expect((await world.nexus("POST", "start", body)).json.code).toBe("identity_unexpected");
    const { key } = await makeGateway();
    const chain = base64url(world.replica?.chain ?? new Uint8Array());
    expect((await world.nexus("POST", "start", { ...body, chain }, key)).json.code).toBe("identity_unexpected");
  });

  test("revoking a gateway ends its key and puts its replicas on the list", async () => {
    const { key, gateway } = await makeGateway();
    const replica = (await world.startReplica(key)).identity;
    const before = (await world.nexus("GET", "revocations")).json.number;
    expect((await world.api("POST", `/gateways/${gateway.id}/revoke`)).status).toBe(204);
    const { json } = await world.nexus("GET", "revocations");
    expect(json.number).toBe(before + 1);
    const { id } = await world.customer();
    const authority = await (await world.enrolled(id)).authority();
    const list = await verifyRevocation(webSuite, json.statement, { authority, now: world.clock.now() });
    expect(revokedIdentifiers(list).has(replica.identifier)).toBe(true);
    const pushed = await world.broker.get({ kind: "revocations" });
    expect(decodeJson(pushed?.bytes ?? new Uint8Array())).toMatchObject({ number: json.number });
    world.clock.monotonicShiftMs += 1_001; // the time that is promised
    expect((await world.nexus("GET", "authority", undefined, key)).status).toBe(401);
    expect((await world.api("POST", `/gateways/${gateway.id}/revoke`)).status).toBe(204);
    expect((await world.api("POST", `/gateways/${gateway.id}/renew-key`)).json.code).toBe("conflict");
    expect((await world.nexus("GET", "revocations")).json.number).toBe(before + 1);
  });

  test("a renewed key replaces the old one", async () => {
    const { key, gateway } = await makeGateway();
    const renewed = (await world.api("POST", `/gateways/${gateway.id}/renew-key`)).json.key;
    expect((await world.nexus("GET", "authority", undefined, renewed)).status).toBe(200);
    world.clock.monotonicShiftMs += 1_001; // the time that is promised
    expect((await world.nexus("GET", "authority", undefined, key)).status).toBe(401);
  });

  test("gateway keys open no API, API keys no Nexus surface", async () => {
    expect((await world.api("GET", "/agents", undefined, { key: world.gatewayKey })).status).toBe(401);
    expect((await world.nexus("GET", "authority", undefined, world.adminKey)).status).toBe(401);
    expect((await world.nexus("GET", "authority", undefined, "")).status).toBe(401);
  });

  test("an agent's token names its customer's dedicated gateway, else the first; one that serves it not is refused", async () => {
    const { id } = await world.customer("Dedicated");
    const other = await world.customer("Else");
    const { gateway } = await makeGateway({ origins: ["wss://own.test"], customerId: id });
    const { decodeEnrollmentToken } = await import("#lib/statement");
    const token = async (customerId: string) =>
      (await decodeEnrollmentToken(webSuite, (await world.agent(customerId)).token)).gateway;
    expect(await token(id)).toBe("https://own.test");
    expect(await token(other.id)).toBe(ControlWorld.origin);
    const refused = await world.api("POST", "/agents", { customerId: other.id, name: "x", gatewayId: gateway.id });
    expect(refused.json.errors).toMatchObject([{ path: "gatewayId" }]);
  });

  test("an origin has one spelling", () => {
    expect(originOf("wss://Gateway.Test:443")).toBe("https://gateway.test");
    expect(originOf("ws://127.0.0.1:8443/")).toBe("http://127.0.0.1:8443");
    for (const text of ["ftp://x", "https://x/path", "https://u@x", "https://x?q", "https://x#f", "x", ""])
      expect(originOf(text)).toBeUndefined();
  });

  test("many revocations at once make lists without a gap, the newest with all of them", async () => {
    const { id } = await world.customer("Many");
    const agents = await Promise.all(Array.from({ length: 12 }, () => world.enrolled(id)));
    const before = (await world.nexus("GET", "revocations")).json.number;
    const answers = await Promise.all(
      agents.map((agent) => world.api("POST", `/agents/${agent.id}/revoke`, { reason: "many" })),
    );
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    const { json } = await world.nexus("GET", "revocations");
    expect(json.number).toBe(before + agents.length);
    const [first] = agents;
    const authority = await first?.authority();
    if (authority === undefined) throw new RangeError("no agent");
    const list = await verifyRevocation(webSuite, json.statement, { authority, now: world.clock.now() });
    for (const { identifier } of agents) expect(revokedIdentifiers(list).has(identifier)).toBe(true);
  });
});
