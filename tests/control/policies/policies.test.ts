import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fromUtf8 } from "#lib/bytes";
import type { NodeKeys } from "#lib/identity";
import { type DesiredState, desiredStateSchema } from "#lib/session";
import { unsealedText, verifyDesired } from "#lib/statement";
import { addAgent, addCustomer, DataSide, enrollAgent, type Replica, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";

setDefaultTimeout(30_000);

let side: DataSide;
let replica: Replica;
let keys: Record<"site" | "backend" | "spare", NodeKeys>;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
  await addCustomer(replica, "other");
  for (const id of ["site", "backend", "spare", "new"]) await addAgent(replica, "acme", id);
  await addAgent(replica, "other", "stranger");
  keys = {
    site: await enrollAgent(replica, "site"),
    backend: await enrollAgent(replica, "backend"),
    spare: await enrollAgent(replica, "spare"),
  };
});
afterAll(() => side[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown, headers = {}) {
  const answer = await replica.call(method, path, body, headers);
  const text = await answer.text();
  // biome-ignore lint/suspicious/noExplicitAny: answers are read by path
  return { status: answer.status, headers: answer.headers, json: (text === "" ? undefined : JSON.parse(text)) as any };
}

const edges = [{ name: "edges", allow: 'subject.role == "edge"' }];
const gold = [{ name: "gold", allow: 'subject.tier == "gold" && subject.role == "edge"' }];

const create = (name: string, rules: unknown = edges, headers = {}) =>
  call("POST", "/policies", { customerId: "cus_acme", name, rules }, headers);

const portal = (name: string, policyId: string | null, change: object = {}) => ({
  name,
  inlet: { agentId: "site", listen: { port: 15_432 } },
  outlet: { agentIds: ["backend"], target: { host: "db.internal", port: 5_432 } },
  policyId,
  ...change,
});

const createPortal = (name: string, policyId: string | null, change: object = {}) =>
  call("POST", "/portals", { customerId: "cus_acme", ...portal(name, policyId, change) });

/** What the node would take from the broker, checked as it checks. */
async function stateOf(agent: keyof typeof keys): Promise<DesiredState> {
  const value = await replica.broker.get({ kind: "desired", agent });
  if (value === undefined) return { plugins: [], portals: [], policies: [] };
  const node = keys[agent];
  const claims = await verifyDesired(replica.deps.suite, unsealedText(await node.unseal(fromUtf8(value.bytes))), {
    authority: replica.authority.identity,
    recipient: node.identity.identifier,
    now: Date.now(),
  });
  const { plugins, portals, policies } = claims;
  return desiredStateSchema.parse({ plugins, portals, policies });
}

const policyAt = async (agent: keyof typeof keys, id: string) =>
  (await stateOf(agent)).policies.find((policy) => policy.id === id);

describe("a policy", () => {
  test("reaches the nodes that serve a portal that names it, and no others; each change too, at once", async () => {
    const { status, json } = await create("db");
    expect(status).toBe(201);
    expect(json).toMatchObject({ name: "db", version: 1, rules: edges, portals: [], nodes: [] });
    expect(await policyAt("backend", json.id)).toBeUndefined();
    const { json: made } = await createPortal("db", json.id);
    expect(made.policyId).toBe(json.id);
    expect(await policyAt("backend", json.id)).toEqual({ id: json.id, name: "db", version: 1, rules: edges });
    const served = (await stateOf("backend")).portals.find(({ name }) => name === "db");
    expect(served).toMatchObject({ end: "outlet", policy: json.id });
    expect((await stateOf("site")).policies).toEqual([]);
    expect((await stateOf("site")).portals.find(({ name }) => name === "db")).not.toHaveProperty("policy");
    const changed = await call("PUT", `/policies/${json.id}`, { name: "db", rules: gold }, { "if-match": '"1"' });
    expect(changed.json).toMatchObject({
      version: 2,
      portals: [{ id: made.id, name: "db" }],
      nodes: [{ agentId: "backend", inSync: false, actual: null }],
    });
    expect(await policyAt("backend", json.id)).toMatchObject({ version: 2, rules: gold });
    // Another node serves it now: the policy goes there, and leaves the one before.
    const outlet = { agentIds: ["spare"], target: { host: "db.internal", port: 5_432 } };
    await call("PUT", `/portals/${made.id}`, portal("db", json.id, { outlet }));
    expect(await policyAt("spare", json.id)).toMatchObject({ version: 2 });
    expect(await policyAt("backend", json.id)).toBeUndefined();
    await call("PUT", `/portals/${made.id}`, portal("db", null, { outlet }));
    expect(await policyAt("spare", json.id)).toBeUndefined();
  });

  test("keeps its versions; an earlier one comes back under a higher number", async () => {
    const { json } = await create("kept");
    await createPortal("kept", json.id);
    await call("PUT", `/policies/${json.id}`, { name: "kept", rules: gold });
    const stale = await call("PUT", `/policies/${json.id}`, { name: "kept", rules: [] }, { "if-match": '"1"' });
    expect(stale.json.code).toBe("conflict");
    const back = await call("POST", `/policies/${json.id}/rollback`, { version: 1 });
    expect(back.json).toMatchObject({ version: 3, rules: edges });
    expect(await policyAt("backend", json.id)).toMatchObject({ version: 3, rules: edges });
    const { json: versions } = await call("GET", `/policies/${json.id}/versions`);
    expect(versions.items.map(({ version, restores }: never) => [version, restores])).toEqual([
      [3, 1],
      [2, null],
      [1, null],
    ]);
    expect((await call("POST", `/policies/${json.id}/rollback`, { version: 9 })).status).toBe(404);
  });

  test("is not deleted while a portal names it", async () => {
    const { json } = await create("used");
    const { json: made } = await createPortal("used", json.id);
    const refused = await call("DELETE", `/policies/${json.id}`);
    expect(refused.json).toMatchObject({ code: "conflict", detail: "portals name it: used" });
    await call("DELETE", `/portals/${made.id}`);
    expect(await policyAt("backend", json.id)).toBeUndefined();
    expect((await call("DELETE", `/policies/${json.id}`)).status).toBe(204);
    expect((await call("GET", `/policies/${json.id}`)).status).toBe(404);
    expect((await call("GET", `/policies/${json.id}/versions`)).json.items[0]).toMatchObject({
      deleted: true,
      version: 2,
    });
    const none = await createPortal("late", json.id);
    expect(none.json.errors.map(({ path }: { path: string }) => path)).toEqual(["policyId"]);
    expect((await create("used")).status).toBe(201); // its name is free again
  });

  test("and a portal that comes to name it while it is deleted: one of the two is refused", async () => {
    for (let round = 0; round < 10; round++) {
      const { json } = await create(`race-${round}`);
      const [deleted, named] = await Promise.all([
        call("DELETE", `/policies/${json.id}`),
        createPortal(`race-${round}`, json.id),
      ]);
      expect([deleted.status, named.status].filter((status) => status < 300)).toHaveLength(1);
    }
  });

  test("that can't be is refused at the rule, with the place and the reason", async () => {
    const { status, json } = await create("bad", [
      { name: "fine", allow: "true" },
      { name: "slow", allow: 'subject.site.matches("(a+)+$")' },
      { name: "odd", allow: "has(subject.tier) && resource.prot == 5" },
    ]);
    expect(status).toBe(422);
    const told = Object.fromEntries(
      json.errors.map((error: { path: string; message: string }) => [error.path, error.message]),
    );
    expect(told["rules.1.allow"]).toContain("matches");
    expect(told["rules.2.allow"]).toContain("character 22: resource has no prot");
    expect(Object.keys(told)).toHaveLength(2);
    const { json: good } = await create("good");
    expect(
      (await call("PUT", `/policies/${good.id}`, { name: "good", rules: [{ name: "x", allow: "x" }] })).status,
    ).toBe(422);
    expect((await create("good")).json.code).toBe("conflict");
    const nowhere = await call("POST", "/policies", { customerId: "cus_none", name: "x", rules: [] });
    expect(nowhere.status).toBe(404);
  });

  test("is created once for one Idempotency-Key", async () => {
    const [one, two] = [
      await create("once", edges, { "idempotency-key": "p1" }),
      await create("once", edges, { "idempotency-key": "p1" }),
    ];
    expect(two.json.id).toBe(one.json.id);
  });

  test("shows what its nodes say of it", async () => {
    const { json } = await create("told");
    await createPortal("told", json.id);
    const item = { kind: "policy", name: "told", actual: 0, wanted: 1, state: "failed", code: "invalid", reason: "no" };
    const report = new TextEncoder().encode(JSON.stringify({ number: 1_000, items: [item] }));
    await sendUp(replica, "backend", {
      plugin: "$node",
      generation: 1,
      first: 1,
      messages: [{ kind: "report", body: report }],
    });
    await eventually("the report was taken", async () => {
      const { json: shown } = await call("GET", `/policies/${json.id}`);
      return shown.nodes[0]?.actual?.state === "failed";
    });
    const { json: shown } = await call("GET", `/policies/${json.id}`);
    expect(shown.nodes).toMatchObject([{ agentId: "backend", inSync: false, actual: { version: 0, code: "invalid" } }]);
  });

  test("of one customer is nothing to a key of another", async () => {
    const { json } = await create("private");
    const other = { authorization: "Bearer other" };
    for (const [method, path, body] of [
      ["GET", `/policies/${json.id}`],
      ["PUT", `/policies/${json.id}`, { name: "private", rules: [] }],
      ["DELETE", `/policies/${json.id}`],
      ["GET", `/policies/${json.id}/versions`],
      ["POST", `/policies/${json.id}/rollback`, { version: 1 }],
      ["GET", "/policies?customerId=cus_acme"],
      ["POST", "/policies", { customerId: "cus_acme", name: "theirs", rules: [] }],
    ] as const)
      expect((await call(method, path, body, other)).status, `${method} ${path}`).toBe(404);
    expect((await call("GET", "/policies", undefined, other)).json.items).toEqual([]);
    expect((await call("GET", "/policies", undefined, { authorization: "Bearer reader" })).json.code).toBe("forbidden");
    // Nor can a portal of theirs be put under it, or a portal of ours be asked about.
    const theirs = { inlet: { agentId: "stranger", listen: { port: 1 } }, customerId: "cus_other" };
    const named = await call("POST", "/portals", { ...portal("x", json.id), ...theirs }, other);
    expect(named.json.errors.map(({ path }: { path: string }) => path)).toEqual(["policyId"]);
    const { json: made } = await createPortal("private", json.id);
    const subject = { agentId: "stranger" };
    for (const [question, path] of [
      [{ subject, resource: { portalId: made.id } }, "resource.portalId"],
      [{ subject: { agentId: "site" }, resource: { customerId: "cus_other" }, rules: edges }, "subject.agentId"],
      [{ subject, resource: { customerId: "cus_other" }, policyId: json.id }, "policyId"],
      [
        { subject, resource: { customerId: "cus_other", node: { agentId: "site" } }, rules: edges },
        "resource.node.agentId",
      ],
    ] as const) {
      const { status, json: refused } = await call("POST", "/policies/test", question, other);
      expect([status, refused.errors?.[0]?.path]).toEqual([422, path]);
    }
  });
});

test("the README's policy is one", async () => {
  const readme = await Bun.file(new URL("../../../README.md", import.meta.url)).text();
  const [, text = ""] = /<!-- policy:begin -->\s*```json\n(.*?)```/s.exec(readme) ?? [];
  const { rules } = JSON.parse(text);
  const { status, json } = await create("readme", rules);
  expect(status).toBe(201);
  const attributes = { role: "edge", customer_id: "cus_acme", zone: "north" };
  const node = { attributes };
  const question = { policyId: json.id, subject: { attributes }, resource: { customerId: "cus_acme", node } };
  expect((await call("POST", "/policies/test", question)).json).toMatchObject({ allowed: true, rule: "same zone" });
});

describe("POST /policies/test", () => {
  const ask = async (question: object) => (await call("POST", "/policies/test", question)).json;
  const resource = { customerId: "cus_acme" };

  test("says which rule, part and attribute decided, for nodes and portals by their ids", async () => {
    const { json: policy } = await create("tried", gold);
    const { json: made } = await createPortal("tried", policy.id);
    const denied = await ask({ subject: { agentId: "site" }, resource: { portalId: made.id } });
    expect(denied).toMatchObject({
      allowed: false,
      decidedBy: "policy",
      policy: { id: policy.id, name: "tried", version: 1 },
      rule: "gold",
      conjunct: 'subject.tier == "gold"',
      attribute: "subject.tier",
    });
    expect(denied.rules[0].conjuncts[0]).toMatchObject({ outcome: "false", attributes: { "subject.tier": "test" } });
    const allowed = await ask({
      subject: { agentId: "site" },
      resource: { portalId: made.id },
      rules: [
        {
          name: "its tier",
          allow: 'subject.tier == "test" && resource.node.agent_id == "backend" && resource.name == "tried"',
        },
      ],
    });
    expect(allowed).toMatchObject({ allowed: true, policy: null, rule: "its tier" });
    const isolated = await ask({ subject: { agentId: "stranger" }, resource: { portalId: made.id }, rules: edges });
    expect(isolated).toMatchObject({
      allowed: false,
      decidedBy: "isolation",
      attribute: "subject.customer_id",
      rules: [],
    });
  });

  test("without a policy asks for the nodes that the portal names", async () => {
    const { json: made } = await createPortal("open", null);
    const of = (agentId: string) => ask({ subject: { agentId }, resource: { portalId: made.id } });
    expect(await of("site")).toMatchObject({ allowed: true, decidedBy: "nodes", policy: null, rule: null });
    expect(await of("spare")).toMatchObject({ allowed: false, decidedBy: "nodes" });
    expect(await of("new")).toMatchObject({ allowed: false, decidedBy: "nodes" });
  });

  test("for attributes that nobody has, and rules that are not saved", async () => {
    const attributes = { role: "edge", customer_id: "cus_acme", tier: "gold" };
    expect(await ask({ subject: { attributes }, resource, rules: gold })).toMatchObject({ allowed: true });
    const without = { role: "edge", customer_id: "cus_acme" };
    const missing = await ask({ subject: { attributes: without }, resource, rules: gold });
    expect(missing).toMatchObject({ allowed: false, attribute: "subject.tier" });
    expect(missing.rules[0].conjuncts[0]).toMatchObject({ outcome: "error", attributes: { "subject.tier": null } });
    const http = [{ name: "reads", allow: 'request.method == "GET" && request.path.startsWith("/v1/")' }];
    const request = { action: "http", method: "GET", path: "/v1/orders" };
    expect(await ask({ subject: { attributes }, resource, rules: http, request })).toMatchObject({ allowed: true });
    expect(await ask({ subject: { attributes }, resource, rules: http })).toMatchObject({
      allowed: false,
      attribute: "request.method",
    });
    const bad = await call("POST", "/policies/test", {
      subject: { attributes },
      resource,
      rules: [{ name: "a", allow: "a" }],
    });
    expect(bad.json.errors[0].path).toBe("rules.0.allow");
    const both = await call("POST", "/policies/test", {
      subject: { attributes },
      resource,
      rules: gold,
      policyId: "pol_x",
    });
    expect(both.json.errors[0].path).toBe("rules");
  });
});

describe("ready-made policies", () => {
  const attributes = { role: "edge", customer_id: "cus_acme", tier: "gold", capabilities: ["erp", "db"] };
  const identifier = `I${"a".repeat(64)}`;

  async function decides(template: string, parameters: object, change: object = {}): Promise<boolean> {
    const { status, json } = await call("POST", `/policy-templates/${template}`, { parameters });
    expect(status).toBe(200);
    const subject = { identifier, attributes: { ...attributes, ...change } };
    const question = { subject, resource: { customerId: "cus_acme" }, rules: json.rules };
    return (await call("POST", "/policies/test", question)).json.allowed;
  }

  test.each([
    ["same-customer", {}, true],
    ["role", { roles: ["edge", "gateway"] }, true],
    ["role", { roles: ["gateway"] }, false],
    ["tier", { tiers: ["gold", "silver"] }, true],
    ["tier", { tiers: ["silver"] }, false],
    ["capability", { capabilities: ["erp", "db"] }, true],
    ["capability", { capabilities: ["erp", "files"] }, false],
    ["capability", { capabilities: ["erp", "files"], need: "any" }, true],
    ["identifiers", { identifiers: [identifier] }, true],
    ["identifiers", { identifiers: [`I${"b".repeat(64)}`] }, false],
  ])("%s %p: %p", async (name, parameters, expected) => expect(await decides(name, parameters)).toBe(expected));

  test("are listed with what they take, and take nothing else", async () => {
    const { json } = await call("GET", "/policy-templates");
    expect(json.items.map(({ name }: { name: string }) => name)).toEqual([
      "same-customer",
      "role",
      "tier",
      "capability",
      "identifiers",
    ]);
    expect(json.items[1].parameters.properties.roles.type).toBe("array");
    expect((await call("POST", "/policy-templates/none", { parameters: {} })).status).toBe(404);
    expect((await call("POST", "/policy-templates/constructor", { parameters: {} })).status).toBe(404);
    const wrong = await call("POST", "/policy-templates/tier", { parameters: { tiers: ['"] || true || "" in ["'] } });
    expect(wrong.json.errors[0].path).toBe("parameters.tiers.0");
  });

  test("fit what a policy may be, as long as lists may be", async () => {
    const identifiers = Array.from({ length: 100 }, (_, index) => `I${index.toString(16).padStart(64, "0")}`);
    const { json } = await call("POST", "/policy-templates/identifiers", { parameters: { identifiers } });
    expect((await create("long", json.rules)).status).toBe(201);
    const words = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(64, "w"));
    const { json: tiers } = await call("POST", "/policy-templates/tier", { parameters: { tiers: words } });
    expect((await create("longer", tiers.rules)).status).toBe(201);
    const able = { capabilities: words.slice(0, 16) };
    const { json: capabilities } = await call("POST", "/policy-templates/capability", { parameters: able });
    expect((await create("able", capabilities.rules)).status).toBe(201);
  });
});
