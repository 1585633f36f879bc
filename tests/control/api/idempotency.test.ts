import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { Fault } from "#lib/fault";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
let customerId: string;
let licenceId: string;
let agentId: string;
beforeAll(async () => {
  world = await ControlWorld.start();
  ({ id: customerId, licenceId } = await world.customer());
  ({ id: agentId } = await world.enrolled(customerId, { licenceId }));
});
afterAll(() => world[Symbol.asyncDispose]());

/** Lets the next act be written, and nothing after it: its caller never hears, as when the process ends there. */
async function diesBehindTheAct<T>(work: () => Promise<T>): Promise<T> {
  const write = world.database.write.bind(world.database);
  const values = world.database.values.bind(world.database);
  let dead = false;
  const orDead = () => {
    if (dead) throw new Fault("unavailable");
  };
  const spies = [
    spyOn(world.database, "values").mockImplementation(async (...query) => {
      orDead();
      return values(...query);
    }),
    spyOn(world.database, "write").mockImplementation(async (set) => {
      orDead();
      dead = set.some(({ sql }) => sql.includes("INSERT INTO audit_entries"));
      const results = await write(set);
      orDead();
      return results;
    }),
  ];
  try {
    return await work();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

async function auditEntries(): Promise<number> {
  const [row] = await world.database.read<{ count: number }>("SELECT count(*) AS count FROM audit_entries");
  return row?.count ?? 0;
}

const creations: readonly (readonly [name: string, path: () => string, body?: () => unknown])[] = [
  ["customer", () => "/customers", () => ({ name: "Crash" })],
  ["licence", () => `/customers/${customerId}/licences`, () => ({ name: "second", tier: "gold" })],
  ["agent", () => "/agents", () => ({ customerId, licenceId, name: "crashed" })],
  ["enrollment token", () => `/agents/${agentId}/reissue`, () => ({})],
  ["API key", () => "/keys", () => ({ name: "crashed", scopes: ["agents:read"] })],
  ["gateway", () => "/gateways", () => ({ name: "crashed", origins: ["https://two.test"] })],
  ["gateway key", () => `/gateways/${world.gatewayId}/renew-key`],
  ["command", () => `/agents/${agentId}/commands`, () => ({ command: { name: "collect-now", plugin: "erp" } })],
];

describe("a creation whose process ended right behind the act, repeated under its Idempotency-Key", () => {
  for (const [name, path, body] of creations)
    test(`${name}: is not made a second time, and what was made is told`, async () => {
      const headers = { "idempotency-key": `crash ${name}`.replaceAll(" ", "-") };
      const before = await auditEntries();
      const first = await diesBehindTheAct(() => world.api("POST", path(), body?.(), { headers }));
      expect(first.status).toBeGreaterThanOrEqual(500);
      expect(await auditEntries()).toBe(before + 1);
      world.clock.shiftMs += 120_000;
      const repeat = await world.api("POST", path(), body?.(), { headers });
      expect(repeat.status).toBeLessThan(300);
      expect(await auditEntries()).toBe(before + 1);
      const again = await world.api("POST", path(), body?.(), { headers });
      expect(again.json).toEqual(repeat.json);
    });

  test("a secret that its caller never saw is told by the repeat, and counts", async () => {
    const headers = { "idempotency-key": "lost-key" };
    const wanted = { name: "lost", scopes: ["customers:read"] };
    await diesBehindTheAct(() => world.api("POST", "/keys", wanted, { headers }));
    const { key } = (await world.api("POST", "/keys", wanted, { headers })).json;
    expect(key).toStartWith("solaris_");
    expect((await world.api("GET", "/customers", undefined, { key })).status).toBe(200);
  });
});

describe("an Idempotency-Key", () => {
  test("of a name that must be unique: those who ask at once all get the one that was made", async () => {
    const headers = { "idempotency-key": "twins" };
    const body = { customerId, licenceId, name: "twins" };
    const answers = await Promise.all(Array.from({ length: 5 }, () => world.api("POST", "/agents", body, { headers })));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(answers.map(({ json }) => json.token)).size).toBe(1);
    const other = await world.api("POST", "/agents", body, { headers: { "idempotency-key": "stranger" } });
    expect(other.json.code).toBe("conflict");
  });

  test("is another API key's own: what was made under it is told to nobody else", async () => {
    const headers = { "idempotency-key": "mine" };
    const { key } = (await world.api("POST", "/keys", { name: "other", scopes: ["*"] })).json;
    const wanted = { name: "k", scopes: ["agents:read"] };
    const mine = (await world.api("POST", "/keys", wanted, { headers })).json;
    const theirs = (await world.api("POST", "/keys", wanted, { headers, key })).json;
    expect(theirs.key).not.toBe(mine.key);
  });

  test("counts for a day; after it the same request is a new one", async () => {
    const headers = { "idempotency-key": "yesterday" };
    const first = (await world.api("POST", "/customers", { name: "Day" }, { headers })).json;
    world.clock.shiftMs += 86_400_000 - 1_000;
    expect((await world.api("POST", "/customers", { name: "Day" }, { headers })).json.id).toBe(first.id);
    world.clock.shiftMs += 2_000;
    expect((await world.api("POST", "/customers", { name: "Day" }, { headers })).json.id).not.toBe(first.id);
  });

  test("is described where it is taken", async () => {
    const { json } = await world.api("GET", "/openapi.json", undefined, { key: null });
    for (const [, path] of creations) {
      const pattern = path().replace(/(cus|agt|gtw)_[a-z0-9_]+/, "{X}");
      const found = Object.entries(json.paths as Record<string, { post?: { parameters?: { name: string }[] } }>).find(
        ([one]) => one.replace("/api/v1", "").replace(/\{[^}]+\}/, "{X}") === pattern,
      );
      const names = found?.[1].post?.parameters?.map(({ name }) => name) ?? [];
      expect([pattern, names.includes("Idempotency-Key")]).toEqual([pattern, true]);
    }
  });
});
