import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createFirstKey } from "../../../control/access/index.ts";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

const makeKey = async (fields: object, by = world.adminKey) =>
  world.api("POST", "/keys", { name: "k", ...fields }, { key: by });

describe("API keys", () => {
  test("are stored hashed: the text is in no file of the database", async () => {
    const { json } = await makeKey({ scopes: ["agents:read"] });
    const rows = await world.database.read("SELECT * FROM api_keys");
    expect(JSON.stringify(rows)).not.toContain(json.key);
    expect(JSON.stringify(rows)).not.toContain(Buffer.from(json.key).toString("hex"));
  });

  test("a revoked key counts for nothing within a second, one out of date at once", async () => {
    const { json } = await makeKey({ scopes: ["agents:read"] });
    expect((await world.api("GET", "/agents", undefined, { key: json.key })).status).toBe(200);
    expect((await world.api("DELETE", `/keys/${json.id}`)).status).toBe(204);
    world.clock.monotonicShiftMs += 1_001; // the time that is promised
    expect((await world.api("GET", "/agents", undefined, { key: json.key })).status).toBe(401);
    expect((await world.api("DELETE", `/keys/${json.id}`)).json.code).toBe("conflict");
    const brief = await makeKey({ scopes: ["agents:read"], expiresAt: world.clock.now() + 1_000 });
    expect((await world.api("GET", "/agents", undefined, { key: brief.json.key })).status).toBe(200);
    world.clock.shiftMs = 2_000;
    const late = await world.api("GET", "/agents", undefined, { key: brief.json.key });
    world.clock.shiftMs = 0;
    expect(late.status).toBe(401);
  });

  test("of replicas that start at once on an empty database one makes the first key", async () => {
    await using empty = await ControlWorld.start();
    await empty.database.write([{ sql: "DELETE FROM api_keys" }]);
    const made = await Promise.all(Array.from({ length: 5 }, () => createFirstKey(empty.solaris.slices)));
    const [key = "", ...others] = made.filter((text) => text !== undefined);
    expect(others).toEqual([]);
    expect((await empty.api("GET", "/keys", undefined, { key })).json.items).toHaveLength(1);
  });

  test("nobody gives more than they have", async () => {
    const keeper = (await makeKey({ scopes: ["keys:write", "keys:read", "agents:read"] })).json.key;
    expect((await makeKey({ scopes: ["*"] }, keeper)).json.code).toBe("forbidden");
    expect((await makeKey({ scopes: ["gateways:write"] }, keeper)).json.code).toBe("forbidden");
    expect((await makeKey({ scopes: ["agents:read"] }, keeper)).status).toBe(201);
  });

  test("a key of one customer holds no scope of the platform", async () => {
    const { id } = await world.customer("Mine");
    const { json } = await makeKey({ scopes: ["agents:read", "gateways:read"], customerId: id });
    expect(json.code).toBe("invalid");
  });

  test("a key of one customer sees nothing of another, in any list or by any id", async () => {
    const [mine, theirs] = [await world.customer("Mine"), await world.customer("Theirs")];
    const agent = await world.agent(theirs.id);
    const own = await world.agent(mine.id);
    const scopes = ["customers:read", "licences:read", "agents:read", "agents:write", "monitoring:read", "audit:read"];
    const { key } = (await makeKey({ scopes, customerId: mine.id })).json;
    const ask = (method: string, path: string, body?: object) => world.api(method, path, body, { key });
    for (const path of [
      `/customers/${theirs.id}`,
      `/licences/${theirs.licenceId}`,
      `/agents/${agent.id}`,
      `/agents/${agent.id}/status`,
      `/agents/${agent.id}/events`,
      `/agents/${agent.id}/openings`,
      `/agents/${agent.id}/refusals`,
      `/agents?customerId=${theirs.id}`,
      `/licences?customerId=${theirs.id}`,
      `/status?customerId=${theirs.id}`,
      `/status/counts?customerId=${theirs.id}`,
      `/audit?customerId=${theirs.id}`,
    ])
      expect([path, (await ask("GET", path)).json.code]).toEqual([path, "not_found"]);
    for (const [path, body] of [
      [`/agents/${agent.id}/revoke`, { reason: "x" }],
      [`/agents/${agent.id}/reissue`, {}],
      [`/agents/${agent.id}/release`, { keep: "next" }],
      ["/agents", { customerId: theirs.id, name: "intruder" }],
      ["/agents", { customerId: mine.id, name: "intruder", licenceId: theirs.licenceId }],
    ] as const)
      expect([path, (await ask("POST", path, body)).json.code]).toEqual([path, "not_found"]);
    expect((await ask("PATCH", `/agents/${own.id}`, { licenceId: theirs.licenceId })).json.code).toBe("not_found");
    for (const path of ["/customers", "/licences", "/agents", "/status", "/audit"]) {
      const { json } = await ask("GET", path);
      expect(json.items.length).toBeGreaterThan(0);
      expect(JSON.stringify(json)).not.toContain(theirs.id);
    }
    expect((await ask("GET", "/status/counts")).json.pending).toBe(1);
    expect((await ask("GET", "/audit/export")).json.code).toBe("forbidden");
  });
});
