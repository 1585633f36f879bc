import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { fromUtf8 } from "#lib/bytes";
import type { NodeKeys } from "#lib/identity";
import { type DesiredPortal, desiredStateSchema } from "#lib/session";
import { unsealedText, verifyDesired } from "#lib/statement";
import { addAgent, addCustomer, DataSide, enrollAgent, type Replica } from "#support/data-side";
import { customers } from "../../../control/customers/index.ts";

let side: DataSide;
let replica: Replica;
let keys: Record<"site" | "backend" | "spare", NodeKeys>;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
  await addCustomer(replica, "other");
  for (const id of ["site", "backend", "spare", "later"]) await addAgent(replica, "acme", id);
  await addAgent(replica, "other", "stranger");
  const [site, backend, spare] = [
    await enrollAgent(replica, "site"),
    await enrollAgent(replica, "backend"),
    await enrollAgent(replica, "spare"),
  ];
  keys = { site, backend, spare };
});
afterAll(() => side[Symbol.asyncDispose]());

const portal = (name: string, change: object = {}) => ({
  name,
  inlet: { agentId: "site", listen: { port: 15_432 } },
  outlet: { agentIds: ["backend"], target: { host: "db.internal", port: 5_432 } },
  ...change,
});

async function call(method: string, path: string, body?: unknown, headers = {}) {
  const answer = await replica.call(method, path, body, headers);
  const text = await answer.text();
  // biome-ignore lint/suspicious/noExplicitAny: answers are read by path
  return { status: answer.status, headers: answer.headers, json: (text === "" ? undefined : JSON.parse(text)) as any };
}

async function requireE2e(required: boolean): Promise<void> {
  const { db } = replica.deps;
  await db.write(db.query.update(customers).set({ requireE2e: required }).where(eq(customers.id, "cus_acme")));
  await replica.messaging.lookAtPortals();
}

const create = (body: object, headers = {}) => call("POST", "/portals", { customerId: "cus_acme", ...body }, headers);

/** What the node would take from the broker, checked as it checks. */
async function portalsAt(agent: keyof typeof keys): Promise<DesiredPortal[]> {
  const value = await replica.broker.get({ kind: "desired", agent });
  if (value === undefined) return [];
  const node = keys[agent];
  const claims = await verifyDesired(replica.deps.suite, unsealedText(await node.unseal(fromUtf8(value.bytes))), {
    authority: replica.authority.identity,
    recipient: node.identity.identifier,
    now: Date.now(),
  });
  const { plugins, portals, policies } = claims;
  return desiredStateSchema.parse({ plugins, portals, policies }).portals;
}

const named = async (agent: keyof typeof keys, name: string) =>
  (await portalsAt(agent)).find((one) => one.name === name);

describe("a portal", () => {
  test("reaches both nodes at once, each with its own end and the other's identifier", async () => {
    const { status, json } = await create(portal("db"));
    expect(status).toBe(201);
    expect(json).toMatchObject({
      name: "db",
      mode: "e2e",
      version: 1,
      inlet: { listen: { host: "127.0.0.1", port: 15_432 } },
    });
    expect(await named("site", "db")).toMatchObject({
      end: "inlet",
      id: json.id,
      nodes: [keys.backend.identity.identifier],
    });
    const outlet = await named("backend", "db");
    expect(outlet).toMatchObject({
      end: "outlet",
      target: { host: "db.internal" },
      nodes: [keys.site.identity.identifier],
    });
    expect(outlet).not.toHaveProperty("listen");
    expect(await portalsAt("spare")).toEqual([]);
  });

  test("that changes its outlet node leaves the one before", async () => {
    const { json, headers } = await create(portal("moving"));
    expect(headers.get("etag")).toBeNull();
    const wanted = portal("moving", { outlet: { agentIds: ["spare"], target: { host: "db2", port: 1 } } });
    const changed = await call("PUT", `/portals/${json.id}`, wanted, { "if-match": '"1"' });
    expect(changed.json).toMatchObject({ version: 2, outlet: { agentIds: ["spare"] } });
    expect(await named("backend", "moving")).toBeUndefined();
    expect(await named("spare", "moving")).toMatchObject({ version: 2, target: { host: "db2", port: 1 } });
    expect(await named("site", "moving")).toMatchObject({ version: 2, nodes: [keys.spare.identity.identifier] });
    expect((await call("PUT", `/portals/${json.id}`, wanted, { "if-match": '"1"' })).json.code).toBe("conflict");
    expect((await call("DELETE", `/portals/${json.id}`)).status).toBe(204);
    expect(await named("spare", "moving")).toBeUndefined();
    expect(await named("site", "moving")).toBeUndefined();
    expect((await call("GET", `/portals/${json.id}`)).status).toBe(404);
    expect((await create(portal("moving"))).status).toBe(201); // its name is free again
  });

  test("learns the identity of a node that is enrolled later", async () => {
    await create(portal("later", { outlet: { agentIds: ["later"], target: { host: "x", port: 1 } } }));
    expect(await named("site", "later")).toMatchObject({ nodes: [] });
    const node = await enrollAgent(replica, "later");
    await replica.messaging.identityChanged("later");
    expect(await named("site", "later")).toMatchObject({ nodes: [node.identity.identifier] });
  });

  test("is created once for one Idempotency-Key", async () => {
    const [one, two] = [
      await create(portal("once"), { "idempotency-key": "k1" }),
      await create(portal("once"), { "idempotency-key": "k1" }),
    ];
    expect(two.json.id).toBe(one.json.id);
    expect((await create(portal("once"))).json.code).toBe("conflict");
  });

  test("that can't be is refused at the field", async () => {
    const paths = async (body: object) => {
      const { status, json } = await create(body);
      expect(status).toBe(422);
      return json.errors.map(({ path }: { path: string }) => path);
    };
    const outlet = { agentIds: ["backend"], target: { host: "h", port: 1 } };
    const alone = { target: { host: "h", port: 1 } };
    const tls = { pins: [`spki-sha256:${"0".repeat(64)}`] };
    expect(await paths(portal("x", { mode: "terminated" }))).toEqual(["outlet.agentIds"]);
    expect(await paths(portal("x", { outlet: alone }))).toEqual(["outlet.agentIds"]);
    expect(await paths(portal("x", { mode: "tls", outlet: alone }))).toEqual(["outlet.tls"]);
    expect(await paths(portal("x", { outlet: { ...outlet, tls } }))).toEqual(["outlet.tls"]);
    expect(await paths(portal("x", { mode: "tls", outlet: { ...alone, tls: { pins: [] } } }))).toEqual([
      "outlet.tls.pins",
    ]);
    expect(await paths(portal("x", { mode: "terminated", protocol: "http", outlet: alone }))).toEqual(["mode"]);
    expect(await paths(portal("x", { outlet: { ...outlet, pins: ["nobody"] } }))).toEqual(["outlet.pins.0"]);
    const pins = [keys.site.identity.identifier];
    expect(await paths(portal("x", { mode: "terminated", outlet: { ...alone, pins } }))).toEqual(["outlet.pins"]);
    expect(await paths(portal("x", { inlet: { agentId: "backend", listen: { port: 1 } } }))).toEqual([
      "outlet.agentIds.0",
    ]);
    expect(await paths(portal("x", { inlet: { agentId: "stranger", listen: { port: 1 } } }))).toEqual([
      "inlet.agentId",
    ]);
    expect(
      await paths(portal("x", { outlet: { agentIds: ["nobody", "backend"], target: { host: "h", port: 1 } } })),
    ).toEqual(["outlet.agentIds.0"]);
    expect(
      await paths(portal("x", { outlet: { agentIds: ["backend"], target: { host: "h", port: 70_000 } } })),
    ).toEqual(["outlet.target.port"]);
    expect(await paths(portal("x", { inlet: { agentId: "site", listen: { unix: "relative" } } }))).toHaveLength(1);
  });

  test("of another mode is an inlet alone: without a node in terminated, with its pin in tls", async () => {
    const target = { host: "old.internal", port: 8_443 };
    const tls = { pins: [`cert-sha256:${"a".repeat(64)}`], serverName: "old.example.com" };
    expect((await create(portal("through-nexus", { mode: "terminated", outlet: { target } }))).status).toBe(201);
    const migrating = await create(portal("migrating", { mode: "tls", outlet: { target, tls } }));
    expect(migrating.json).toMatchObject({ outlet: { agentIds: [], tls }, nodes: [{ agentId: "site", end: "inlet" }] });
    const inlet = await named("site", "through-nexus");
    expect(inlet).toMatchObject({ end: "inlet", mode: "terminated", nodes: [] });
    expect(inlet).not.toHaveProperty("target"); // where it leads Nexus learns from Solaris alone
    expect(await named("site", "migrating")).toMatchObject({ mode: "tls", tls: { ...tls, target } });
    const { json } = await call("GET", "/portals?mode=tls");
    expect(json.items.map(({ name }: { name: string }) => name)).toEqual(["migrating"]);
  });

  test("of a customer that requires e2e has no other mode, and what there was ends at its nodes", async () => {
    const outlet = { target: { host: "h", port: 1 } };
    expect((await create(portal("ending", { mode: "terminated", outlet }))).status).toBe(201);
    expect(await named("site", "ending")).toBeDefined();
    const stays = await create(portal("staying"));
    await requireE2e(true);
    expect(await named("site", "ending")).toBeUndefined();
    expect(await named("site", "staying")).toBeDefined();
    const refused = await create(portal("refused", { mode: "terminated", outlet }));
    expect(refused.json.errors.map(({ path }: { path: string }) => path)).toEqual(["mode"]);
    const changed = await call("PUT", `/portals/${stays.json.id}`, portal("staying", { mode: "terminated", outlet }));
    expect(changed.status).toBe(422);
    await requireE2e(false);
    expect(await named("site", "ending")).toBeDefined();
  });

  test("tells each end which identifiers it is pinned to", async () => {
    const [own, other] = [keys.site.identity.identifier, keys.spare.identity.identifier];
    const inlet = { agentId: "site", listen: { port: 15_433 }, pins: [other] };
    const outlet = { agentIds: ["backend"], target: { host: "h", port: 1 }, pins: [own, other] };
    expect((await create(portal("pinned", { inlet, outlet }))).json).toMatchObject({ inlet, outlet });
    expect(await named("site", "pinned")).toMatchObject({ pins: [other] });
    expect(await named("backend", "pinned")).toMatchObject({ pins: [own, other] });
  });

  test("of one customer is nothing to a key of another", async () => {
    const { json } = await create(portal("private"));
    const other = { authorization: "Bearer other" };
    expect((await call("GET", `/portals/${json.id}`, undefined, other)).status).toBe(404);
    expect((await call("PUT", `/portals/${json.id}`, portal("private"), other)).status).toBe(404);
    expect((await call("DELETE", `/portals/${json.id}`, undefined, other)).status).toBe(404);
    expect((await call("GET", "/portals", undefined, other)).json.items).toEqual([]);
    expect((await call("GET", "/portals?customerId=cus_acme", undefined, other)).status).toBe(404);
    expect((await create(portal("theirs"), other)).status).toBe(404);
    const mixed = portal("theirs", { customerId: "cus_other", inlet: { agentId: "stranger", listen: { port: 1 } } });
    const { json: refused } = await call("POST", "/portals", mixed, other);
    expect(refused.errors.map(({ path }: { path: string }) => path)).toEqual(["outlet.agentIds.0"]);
    expect((await call("GET", "/portals", undefined, { authorization: "Bearer reader" })).json.code).toBe("forbidden");
  });

  test("is listed by mode, a page at a time", async () => {
    for (const name of ["a-1", "a-2", "a-3"]) await create(portal(name));
    const { json } = await call("GET", "/portals?mode=e2e&limit=2");
    expect(json.items).toHaveLength(2);
    expect(json.next).toBe(json.items[1].id);
    const { json: others } = await call("GET", "/portals?mode=tls");
    expect(others.items.every(({ mode }: { mode: string }) => mode === "tls")).toBe(true);
  });
});

describe("a portal that carries HTTP", () => {
  const secret = "LK-4711-only-for-the-inlet";
  const web = (name: string, http: object = {}, change: object = {}) =>
    portal(name, { protocol: "http", http: { headers: { "X-Licence-Key": secret }, ...http }, ...change });

  test("gives the headers to its inlet alone; no answer and no row shows them", async () => {
    const { status, json } = await create(web("web", { tls: true, hosts: ["shop.internal"] }));
    expect(status).toBe(201);
    expect(json.http).toEqual({
      hosts: ["shop.internal"],
      headers: { "x-licence-key": "‹secret›" },
      tls: true,
      answerTimeoutMs: 60_000,
    });
    expect(await named("site", "web")).toMatchObject({
      protocol: "http",
      agentIds: ["backend"],
      http: { hosts: ["shop.internal"], headers: { "x-licence-key": secret } },
    });
    expect(await named("backend", "web")).toMatchObject({ http: { tls: true, answerTimeoutMs: 60_000 } });
    expect(JSON.stringify(await named("backend", "web"))).not.toContain(secret);
    const rows = await replica.deps.db.read<Record<string, never>>("SELECT * FROM portals", []);
    const audited = await replica.deps.db.read<Record<string, never>>("SELECT * FROM audit_entries", []);
    expect(audited.length).toBeGreaterThan(0);
    const read = await call("GET", `/portals/${json.id}`);
    const listed = await call("GET", "/portals?limit=200");
    for (const shown of [rows, audited, read.json, listed.json, json])
      expect(
        JSON.stringify(shown, (_, value) =>
          value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value,
        ),
      ).not.toContain(secret);
  });

  test("keeps a value behind its mask while it leads to the same service, and never sends it to another", async () => {
    const { json } = await create(web("masked"));
    const masked = { headers: { "x-licence-key": "‹secret›" } };
    const put = (change: object, http: object = masked) =>
      call("PUT", `/portals/${json.id}`, web("masked", http, change));
    expect((await put({ connectionsMax: 3 })).status).toBe(200);
    expect(await named("site", "masked")).toMatchObject({ version: 2, http: { headers: { "x-licence-key": secret } } });
    const elsewhere = [
      put({ outlet: { agentIds: ["backend"], target: { host: "evil.internal", port: 5_432 } } }),
      put({ outlet: { agentIds: ["backend"], target: { host: "db.internal", port: 1 } } }),
      put({ outlet: { agentIds: ["backend", "spare"], target: { host: "db.internal", port: 5_432 } } }),
      put({}, { ...masked, tls: true }),
    ];
    for (const answer of await Promise.all(elsewhere)) {
      expect(answer.status).toBe(422);
      expect(answer.json.errors[0].path).toBe("http.headers.x-licence-key");
    }
    expect((await put({}, { headers: { "x-other": "‹secret›" } })).status).toBe(422);
    expect((await put({}, {})).status).toBe(200);
  });

  test("refuses headers that it sets itself, what is no header, and what TCP does not have", async () => {
    for (const [name, value] of [
      ["host", "x"],
      ["Connection", "x"],
      ["x-forwarded-for", "x"],
      ["content-length", "1"],
      ["x y", "x"],
      ["x-a", "1\r\nx-b: 2"],
      ["x-a", "grüße"],
    ] as const) {
      const { status, json } = await create(web("refused", { headers: { [name]: value } }));
      expect([name, status, json.code]).toEqual([name, 422, "invalid"]);
    }
    expect((await create(portal("refused", { http: {} }))).json.errors[0].path).toBe("http");
    expect((await create(web("refused", {}, { proxyProtocol: true }))).json.errors[0].path).toBe("proxyProtocol");
  });
});
