import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import type { NodeKeys } from "#lib/identity";
import { desiredStateSchema, secretMask } from "#lib/session";
import { unsealedText, verifyDesired } from "#lib/statement";
import {
  addAgent,
  addCustomer,
  addPlugin,
  DataSide,
  enrollAgent,
  filePlugin,
  type Replica,
  sendUp,
} from "#support/data-side";
import { eventually } from "#support/eventually";

setDefaultTimeout(30_000);

let side: DataSide;
let replica: Replica;
const marker = "hunter2-marker";

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
});
afterAll(() => side[Symbol.asyncDispose]());

const erp = (change: object = {}, password: string = marker) => ({
  type: "http",
  config: {
    baseUrl: "https://erp.example",
    auth: { kind: "basic", username: "svc", password },
    down: { path: "/orders" },
    ...change,
  },
});

const put = (agent: string, plugin: string, wanted: unknown, headers = {}) =>
  replica.call("PUT", `/agents/${agent}/plugins/${plugin}`, wanted, headers);

/** What the node would take from the broker, checked as it checks. */
async function stateAtNode(agent: string, keys: NodeKeys) {
  const value = await replica.broker.get({ kind: "desired", agent });
  if (value === undefined) return undefined;
  const jws = unsealedText(await keys.unseal(fromUtf8(value.bytes)));
  const claims = await verifyDesired(replica.deps.suite, jws, {
    authority: replica.authority.identity,
    recipient: keys.identity.identifier,
    now: Date.now(),
  });
  const { plugins, portals, policies } = claims;
  return { number: claims.number, ...desiredStateSchema.parse({ plugins, portals, policies }) };
}

describe("plugin configurations", () => {
  test("each field that does not fit is named by its path, and nothing reaches the node", async () => {
    await addAgent(replica, "acme", "e1");
    const answer = await put(
      "e1",
      "erp",
      erp({ baseUrl: "ftp://x", timeoutMs: 1, auth: { kind: "basic", username: "", password: "p" }, more: 1 }),
    );
    expect(answer.status).toBe(422);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    const { errors } = (await answer.json()) as { errors: { path: string }[] };
    expect(errors.map(({ path }) => path).toSorted()).toEqual([
      "config",
      "config.auth.username",
      "config.baseUrl",
      "config.timeoutMs",
    ]);
    const unknown = await put("e1", "erp", { type: "carrier-pigeon", config: {} });
    expect(((await unknown.json()) as { errors: { path: string }[] }).errors[0]?.path).toBe("type");
    expect(await replica.messaging.desiredNumber("e1")).toBe(0);
    expect((await replica.call("GET", "/agents/e1/plugins/erp")).status).toBe(404);
  });

  test("the state is whole, signed, numbered, and opens for its node alone", async () => {
    await addAgent(replica, "acme", "e2");
    const keys = await enrollAgent(replica, "e2");
    await addPlugin(replica, "e2", "erp", erp());
    await addPlugin(replica, "e2", "files");
    const state = await stateAtNode("e2", keys);
    expect(state?.number).toBe(2);
    expect(state?.plugins.map(({ name, version }) => [name, version])).toEqual([
      ["erp", 1],
      ["files", 1],
    ]);
    expect(state?.plugins[0]?.config.auth).toEqual({ kind: "basic", username: "svc", password: marker });
    await addAgent(replica, "acme", "e2x");
    const other = await enrollAgent(replica, "e2x");
    const value = await replica.broker.get({ kind: "desired", agent: "e2" });
    expect(other.unseal(fromUtf8(value?.bytes ?? utf8("")))).rejects.toThrow();
  });

  test("a secret goes in and never comes out; its mask keeps it", async () => {
    await addAgent(replica, "acme", "e3");
    const keys = await enrollAgent(replica, "e3");
    await addPlugin(replica, "e3", "erp", erp());
    const shown = (await (await replica.call("GET", "/agents/e3/plugins/erp")).json()) as {
      config: { auth: { password: string } };
    };
    expect(shown.config.auth.password).toBe(secretMask);
    await addPlugin(replica, "e3", "erp", { type: "http", config: { ...shown.config, timeoutMs: 500 } });
    const state = await stateAtNode("e3", keys);
    expect(state?.plugins[0]?.config).toMatchObject({ timeoutMs: 500, auth: { password: marker } });
    for (const path of [
      "/agents/e3/plugins",
      "/agents/e3/plugins/erp",
      "/agents/e3/plugins/erp/versions",
      "/agents/e3/desired",
    ])
      expect(await (await replica.call("GET", path)).text()).not.toContain(marker);
    for (const table of ["plugins", "plugin_versions", "desired_states", "audit_entries"]) {
      const rows = await replica.deps.db.read(`SELECT * FROM ${table}`);
      const bytes = rows.map((row) =>
        Object.values(row)
          .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value)))
          .join(),
      );
      expect(bytes.join()).not.toContain(marker);
    }
  });

  test("a mask behind which nothing is stored is refused by its path", async () => {
    await addAgent(replica, "acme", "e4");
    const answer = await put("e4", "erp", erp({}, secretMask));
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as { errors: { path: string }[] }).errors[0]?.path).toBe("config.auth.password");
  });

  test("a stored secret does not go to another address", async () => {
    await addAgent(replica, "acme", "e4b");
    await addPlugin(replica, "e4b", "erp", erp());
    const answer = await put("e4b", "erp", erp({ baseUrl: "https://elsewhere.example" }, secretMask));
    expect(answer.status).toBe(422);
    expect(((await answer.json()) as { errors: { path: string }[] }).errors[0]?.path).toBe("config.auth.password");
    expect((await put("e4b", "erp", erp({ baseUrl: "https://erp.example/sub" }, secretMask))).status).toBe(200);
  });

  test("a rollback is a higher number with the old content; history keeps all; a deletion can be taken back", async () => {
    await addAgent(replica, "acme", "e5");
    const keys = await enrollAgent(replica, "e5");
    await addPlugin(replica, "e5", "erp", erp({ timeoutMs: 111 }));
    await addPlugin(replica, "e5", "erp", erp({ timeoutMs: 222 }, "other"));
    const rolled = await replica.call("POST", "/agents/e5/plugins/erp/rollback", { version: 1 });
    expect(((await rolled.json()) as { version: number }).version).toBe(3);
    expect((await stateAtNode("e5", keys))?.plugins[0]).toMatchObject({
      version: 3,
      config: { timeoutMs: 111, auth: { password: marker } },
    });
    expect((await replica.call("DELETE", "/agents/e5/plugins/erp")).status).toBe(204);
    expect(await stateAtNode("e5", keys)).toMatchObject({ number: 4, plugins: [] });
    expect((await replica.call("POST", "/agents/e5/plugins/erp/rollback", { version: 4 })).status).toBe(422);
    expect((await replica.call("POST", "/agents/e5/plugins/erp/rollback", { version: 2 })).status).toBe(200);
    expect((await stateAtNode("e5", keys))?.plugins[0]).toMatchObject({ version: 5, config: { timeoutMs: 222 } });
    const { items } = (await (await replica.call("GET", "/agents/e5/plugins/erp/versions")).json()) as {
      items: { version: number; restores: number | null; deleted: boolean }[];
    };
    expect(items.map(({ version, restores, deleted }) => [version, restores, deleted])).toEqual([
      [5, 2, false],
      [4, null, true],
      [3, 1, false],
      [2, null, false],
      [1, null, false],
    ]);
  });

  test("changes at once get a number each, none is lost, and the broker ends with the newest", async () => {
    await addAgent(replica, "acme", "e6");
    const keys = await enrollAgent(replica, "e6");
    const two = await side.replica("two");
    const puts = Array.from({ length: 10 }, (_, index) =>
      (index % 2 === 0 ? replica : two).call("PUT", `/agents/e6/plugins/p${index % 5}`, filePlugin),
    );
    expect((await Promise.all(puts)).map(({ status }) => status)).toEqual(new Array(10).fill(200));
    const state = await eventually("the newest", async () => {
      const found = await stateAtNode("e6", keys);
      return found?.number === 10 ? found : undefined;
    });
    expect(state.plugins.map(({ name, version }) => [name, version])).toEqual(
      [0, 1, 2, 3, 4].map((index) => [`p${index}`, 2]),
    );
    await two[Symbol.asyncDispose]();
  });

  test("If-Match refuses to overwrite what somebody changed", async () => {
    await addAgent(replica, "acme", "e7");
    await addPlugin(replica, "e7", "files");
    await addPlugin(replica, "e7", "files");
    expect((await put("e7", "files", filePlugin, { "if-match": '"1"' })).status).toBe(409);
    expect((await put("e7", "files", filePlugin, { "if-match": '"2"' })).status).toBe(200);
  });

  test("another customer's key sees and changes nothing", async () => {
    await addAgent(replica, "acme", "e8");
    await addPlugin(replica, "e8", "files");
    const other = { authorization: "Bearer other" };
    expect((await put("e8", "files", filePlugin, other)).status).toBe(404);
    for (const path of ["plugins", "plugins/files", "plugins/files/versions", "desired"])
      expect((await replica.call("GET", `/agents/e8/${path}`, undefined, other)).status).toBe(404);
  });

  test("a receive schema that could be abused is refused", async () => {
    await addAgent(replica, "acme", "e9");
    const bad = [
      { properties: { a: { pattern: "^(a+)+$" } } },
      { $ref: "https://elsewhere.example/schema" },
      { patternProperties: { "(x|x)*y": {} } },
      { pattern: "(?=a)b" },
      "text",
    ];
    for (const receiveSchema of bad)
      expect((await put("e9", "files", { ...filePlugin, receiveSchema })).status).toBe(422);
    expect(
      (await put("e9", "files", { ...filePlugin, receiveSchema: { properties: { a: { pattern: "^[A-Z]{3}$" } } } }))
        .status,
    ).toBe(200);
  });
});

describe("desired states", () => {
  test("what was configured before the enrollment is sealed at it, and again at a rotation", async () => {
    await addAgent(replica, "acme", "f1");
    await addPlugin(replica, "f1", "files");
    expect(await replica.messaging.desiredNumber("f1")).toBe(0);
    expect(await replica.broker.get({ kind: "desired", agent: "f1" })).toBeUndefined();
    const keys = await enrollAgent(replica, "f1");
    await replica.messaging.identityChanged("f1");
    expect(await stateAtNode("f1", keys)).toMatchObject({ number: 2, plugins: [{ name: "files" }] });
    expect(await replica.messaging.desiredNumber("f1")).toBe(2);
    const next = await enrollAgent(replica, "f1");
    await replica.messaging.identityChanged("f1");
    expect(await stateAtNode("f1", next)).toMatchObject({ number: 3 });
  });

  test("wanted against actual, as the node says; an older report changes nothing", async () => {
    await addAgent(replica, "acme", "f2");
    await enrollAgent(replica, "f2");
    await addPlugin(replica, "f2", "files");
    const plugin = async () =>
      (await (await replica.call("GET", "/agents/f2/plugins/files")).json()) as {
        actual: { state: string; reason: string } | null;
        inSync: boolean;
      };
    expect(await plugin()).toMatchObject({ actual: null, inSync: false });
    const report = (first: number, number: number, item: object) =>
      sendUp(replica, "f2", {
        plugin: "$node",
        generation: 1,
        first,
        messages: [
          {
            kind: "report",
            body: utf8(JSON.stringify({ number, items: [{ kind: "plugin", name: "files", wanted: 1, ...item }] })),
          },
        ],
      });
    await report(1, 1, { actual: 0, state: "failed", code: "not_allowed_here", reason: "not on the site's list" });
    await eventually("failed", async () => (await plugin()).actual?.reason === "not on the site's list");
    await report(2, 2, { actual: 1, state: "applied" });
    await eventually("in sync", async () => (await plugin()).inSync);
    await report(3, 1, { actual: 0, state: "failed" });
    await sendUp(replica, "f2", {
      plugin: "$node",
      generation: 1,
      first: 4,
      messages: [{ kind: "report", body: utf8("[]") }],
    });
    await eventually("all", async () => (await replica.messaging.upWatermarks("f2"))[0]?.number === 4);
    expect((await plugin()).inSync).toBe(true);
    const { items } = (await (await replica.call("GET", "/quarantine?agentId=f2")).json()) as {
      items: { code: string }[];
    };
    expect(items.map(({ code }) => code)).toEqual(["invalid"]);
  });

  test("what the broker lost is published again at a start", async () => {
    await addAgent(replica, "acme", "f3");
    const keys = await enrollAgent(replica, "f3");
    await addPlugin(replica, "f3", "files");
    await replica.broker.remove({ kind: "desired", agent: "f3" });
    const again = await side.replica("again");
    await eventually("published", async () => (await stateAtNode("f3", keys))?.number === 1);
    await again[Symbol.asyncDispose]();
  });
});
