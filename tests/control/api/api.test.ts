import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "#lib/runtime";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

interface Operation {
  readonly method: string;
  readonly path: string;
}

/** Every operation of the OpenAPI document. */
async function operations(): Promise<Operation[]> {
  const { json } = await world.api("GET", "/openapi.json", undefined, { key: null });
  return Object.entries(json.paths as Record<string, object>).flatMap(([path, item]) =>
    Object.keys(item).map((method) => ({ method: method.toUpperCase(), path: path.replace("/api/v1", "") })),
  );
}

describe("the API", () => {
  test("describes itself, without a key; the page loads nothing from elsewhere", async () => {
    const found = await operations();
    expect(found.length).toBeGreaterThan(30);
    const { json } = await world.api("GET", "/openapi.json", undefined, { key: null });
    for (const item of Object.values(json.paths as Record<string, Record<string, { summary?: string }>>))
      for (const operation of Object.values(item)) expect(operation.summary?.length ?? 0).toBeGreaterThan(3);
    const page = await world.api("GET", "/reference", undefined, { key: null });
    expect(page.status).toBe(200);
    expect(page.json).not.toMatch(/(src|href)=["']?https?:/);
    expect(page.json).not.toContain("import(");
  });

  test("every operation demands a key, and a key without scopes for it is refused", async () => {
    const poor = (await world.api("POST", "/keys", { name: "poor", scopes: ["audit:read"] })).json.key;
    for (const { method, path } of await operations()) {
      const concrete = path.replaceAll(/\{[^}]+\}/g, "x1");
      const none = await world.api(method, concrete, undefined, { key: null });
      expect([path, method, none.status]).toEqual([path, method, 401]);
      if (["/audit", "/authority"].includes(path)) continue;
      const refused = await world.api(method, concrete, undefined, { key: poor });
      expect([path, method, refused.status]).toEqual([path, method, 403]);
    }
  });

  test("errors are problem documents with a code, a request id and one entry per field", async () => {
    const { status, json, headers } = await world.api("POST", "/customers", { name: "", extra: 1 });
    expect(status).toBe(422);
    expect(headers.get("content-type")).toContain("application/problem+json");
    expect(json.code).toBe("invalid");
    expect(json.requestId).toBe(headers.get("x-request-id"));
    expect(json.errors.map(({ path }: { path: string }) => path)).toContain("name");
    const broken = await world.solaris.fetch(
      new Request("http://solaris.test/api/v1/customers", {
        method: "POST",
        headers: { authorization: `Bearer ${world.adminKey}`, "content-type": "application/json" },
        body: "{",
      }),
    );
    expect(broken.status).toBe(400);
    expect((await world.api("GET", "/nothing-here")).json.code).toBe("not_found");
    expect((await world.api("GET", "/agents/..%2f..%2fetc")).json.code).toBe("not_found");
  });

  test("a creation repeated under one Idempotency-Key is done once; with another body it is a conflict", async () => {
    const headers = { "idempotency-key": "order-1" };
    const before = (await world.api("GET", "/customers?limit=200")).json.items.length;
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => world.api("POST", "/customers", { name: "Once" }, { headers })),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made.length).toBeGreaterThan(0);
    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
    const repeat = await world.api("POST", "/customers", { name: "Once" }, { headers });
    expect(repeat.json).toEqual(made[0]?.json);
    expect((await world.api("GET", "/customers?limit=200")).json.items.length).toBe(before + 1);
    const other = await world.api("POST", "/customers", { name: "Twice" }, { headers });
    expect(other.json.code).toBe("idempotency_conflict");
    await world.api("POST", "/customers", { name: "" }, { headers: { "idempotency-key": "bad-1" } });
    const corrected = await world.api(
      "POST",
      "/customers",
      { name: "Good" },
      { headers: { "idempotency-key": "bad-1" } },
    );
    expect(corrected.status).toBe(201);
  });

  test("a key that is shown once is shown again only to its Idempotency-Key, and lies sealed until then", async () => {
    const headers = { "idempotency-key": "key-1" };
    const first = await world.api("POST", "/keys", { name: "k", scopes: ["agents:read"] }, { headers });
    const again = await world.api("POST", "/keys", { name: "k", scopes: ["agents:read"] }, { headers });
    expect(again.json.key).toBe(first.json.key);
    const rows = await world.database.read<{ answer: Uint8Array }>("SELECT answer FROM idempotent_answers");
    for (const { answer } of rows) expect(Buffer.from(answer).includes(first.json.key)).toBe(false);
  });

  test("lists come in pages that miss nothing and repeat nothing", async () => {
    for (let index = 0; index < 7; index++) await world.api("POST", "/customers", { name: `page ${index}` });
    const all = (await world.api("GET", "/customers?limit=200")).json.items.map(({ id }: { id: string }) => id);
    const seen: string[] = [];
    for (let after = ""; ; ) {
      const { json } = await world.api("GET", `/customers?limit=3${after}`);
      seen.push(...json.items.map(({ id }: { id: string }) => id));
      if (json.next === null) break;
      after = `&after=${json.next}`;
    }
    expect(seen).toEqual(all);
  });

  test("a change under an old version is a conflict", async () => {
    const { id } = await world.customer("Versions");
    const { headers } = await world.api("GET", `/customers/${id}`);
    const tag = headers.get("etag") ?? "";
    const ifMatch = { headers: { "if-match": tag } };
    expect((await world.api("PATCH", `/customers/${id}`, { name: "One" }, ifMatch)).status).toBe(200);
    expect((await world.api("PATCH", `/customers/${id}`, { name: "Two" }, ifMatch)).json.code).toBe("conflict");
    const cached = await world.api("GET", `/customers/${id}`, undefined, { headers: { "if-none-match": '"2"' } });
    expect(cached.status).toBe(304);
  });

  test("no GET endpoint answers a secret that was given or made", async () => {
    const { id, licenceId } = await world.customer("Secrets");
    const secrets = [world.adminKey, world.gatewayKey];
    const licence = await world.api("POST", `/customers/${id}/licences`, { name: "second", tier: "gold" });
    secrets.push(licence.json.key);
    secrets.push((await world.api("POST", "/keys", { name: "s", scopes: ["*"] })).json.key);
    const agent = await world.agent(id, { licenceId });
    secrets.push(agent.token);
    const password = `marker-${Buffer.from(systemRandom(12)).toString("hex")}`;
    secrets.push(password);
    const config = { baseUrl: "http://erp.local", auth: { kind: "basic", username: "u", password } };
    const put = await world.api("PUT", `/agents/${agent.id}/plugins/erp`, {
      type: "http",
      config: { ...config, down: { path: "/orders" } },
    });
    if (put.status >= 300) throw new RangeError(`no plugin: ${JSON.stringify(put.json)}`);
    const ids: Record<string, string> = { id: agent.id, agentId: agent.id, plugin: "erp", name: "erp" };
    const others = [id, licence.json.licence.id, licenceId, world.gatewayId, agent.id];
    let asked = 0;
    for (const { method, path } of await operations()) {
      if (method !== "GET" || /live|stream|wait/.test(path)) continue;
      const concretes = [
        path.replaceAll(/\{([^}]+)\}/g, (_, name) => ids[name] ?? "1"),
        ...others.map((one) => path.replace("{id}", one)),
      ];
      for (const concrete of new Set(concretes)) {
        const { json, status } = await world.api("GET", concrete.replaceAll(/\{[^}]+\}/g, "1"));
        if (status === 200) asked += 1;
        const text = JSON.stringify(json);
        for (const secret of secrets) expect([concrete, text.includes(secret)]).toEqual([concrete, false]);
      }
    }
    expect(asked).toBeGreaterThan(20);
  });

  test("a body above the limit is refused", async () => {
    const { json } = await world.api("POST", "/customers", { name: "x", note: "y".repeat(10_000_000) });
    expect(json.code).toBe("too_large");
  });

  test("healthz, readyz and metrics answer", async () => {
    const ask = async (path: string) => world.solaris.fetch(new Request(`http://solaris.test${path}`));
    expect((await ask("/healthz")).status).toBe(200);
    expect((await ask("/readyz")).status).toBe(200);
    const metrics = await (await ask("/metrics")).text();
    expect(metrics).toContain("solaris_agents{");
    expect(metrics).toContain("solaris_http_request_seconds");
    expect(metrics).not.toContain("agt_");
  });
});
