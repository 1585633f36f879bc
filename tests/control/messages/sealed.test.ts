import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { base64url, fromBase64url, fromUtf8, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, extendIdentity, type NodeKeys, nodeKeys, recipientOf, verifyIdentity } from "#lib/identity";
import { sealedUpAgeMaxMs } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import { decodeDownEntry, pluginSealSchema, type UpMessage } from "#lib/session";
import { type MessageLane, openMessage, sealedContentType, sealMessage, verifyDesired } from "#lib/statement";
import {
  addAgent,
  addCustomer,
  addPlugin,
  DataSide,
  enrollAgent,
  filePlugin,
  type Replica,
  readDown,
  sendUp,
} from "#support/data-side";
import { eventually } from "#support/eventually";

let side: DataSide;
let replica: Replica;
let node: NodeKeys;
let service: NodeKeys;
let stranger: NodeKeys;
let entries = 0;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  for (const customer of ["acme", "other"]) await addCustomer(replica, customer);
  for (const [customer, id] of [
    ["acme", "a1"],
    ["acme", "shop"],
    ["acme", "edge"],
    ["other", "theirs"],
  ] as const)
    await addAgent(replica, customer, id);
  await replica.deps.db.write({ sql: "UPDATE agents SET role = 'service' WHERE id IN ('shop', 'theirs')", params: [] });
  node = await enrollAgent(replica, "a1");
  service = await enrollAgent(replica, "shop");
  for (const id of ["edge", "theirs"]) stranger = await enrollAgent(replica, id);
});
afterAll(() => side[Symbol.asyncDispose]());

const sealedPlugin = (sealing?: unknown) => ({
  ...filePlugin,
  sealed: true,
  ...(sealing === undefined ? {} : { sealing }),
});

/** What the node's desired state says of the plugin. */
async function sealOf(plugin: string) {
  const there = await replica.broker.get({ kind: "desired", agent: "a1" });
  const jws = fromUtf8(await node.unseal(fromUtf8(there?.bytes ?? new Uint8Array())));
  const authority = replica.authority.identity;
  const { plugins } = await verifyDesired(webSuite, jws, {
    authority,
    recipient: node.identity.identifier,
    now: Date.now(),
  });
  const found = (plugins as { name: string; seal?: unknown }[]).find(({ name }) => name === plugin);
  return found?.seal === undefined ? undefined : pluginSealSchema.parse(found.seal);
}

async function solaris(plugin: string) {
  const { solaris: named } = (await sealOf(plugin)) ?? { solaris: { chain: "", identifier: "" } };
  return verifyIdentity(webSuite, fromBase64url(named.chain) ?? new Uint8Array(), {
    now: Date.now(),
    expected: named.identifier,
  });
}

const receivedOf = async (plugin: string) =>
  (await (await replica.call("GET", `/received?agentId=a1&plugin=${plugin}`)).json()).items as {
    id: string;
    body: string;
    sealed: boolean;
    contentType: string;
  }[];
const quarantineOf = async (plugin: string) =>
  (
    (await (await replica.call("GET", `/quarantine?agentId=a1&plugin=${plugin}`)).json()).items as {
      code: string;
      message: string;
    }[]
  ).toReversed();

describe("the switch", () => {
  test("is off by default, shown, and says in the desired state whose messages count", async () => {
    await addPlugin(replica, "a1", "plain");
    expect(await (await replica.call("GET", "/agents/a1/plugins/plain")).json()).toMatchObject({
      sealed: false,
      sealing: null,
    });
    expect(await sealOf("plain")).toBeUndefined();
    await addPlugin(replica, "a1", "switched", sealedPlugin({ senders: ["shop"], consumer: "shop" }));
    const shown = await (await replica.call("GET", "/agents/a1/plugins/switched")).json();
    expect(shown).toMatchObject({ sealed: true, sealing: { senders: ["shop"], consumer: "shop" } });
    const shop = { identifier: service.identity.identifier, chain: base64url(service.identity.chain) };
    expect(await sealOf("switched")).toMatchObject({ senders: [shop], consumer: shop });
    const [version] = (await (await replica.call("GET", "/agents/a1/plugins/switched/versions")).json()).items;
    expect(version).toMatchObject({ sealed: true, sealing: { consumer: "shop" } });
    const openApi = await (await replica.call("GET", "/openapi.json")).json();
    expect(openApi.components.schemas.Plugin.properties.sealed.type).toBe("boolean");
  });

  test.each([
    ["receiveSchema", { ...sealedPlugin(), receiveSchema: { type: "object" } }],
    ["sealing", { ...filePlugin, sealing: { senders: [] } }],
    ["sealing.senders[0]", sealedPlugin({ senders: ["edge"] })], // no service
    ["sealing.senders[1]", sealedPlugin({ senders: ["shop", "theirs"] })], // another customer's
    ["sealing.consumer", sealedPlugin({ consumer: "nobody" })],
  ])("is refused with what does not go together: %s", async (path, wanted) => {
    const answer = await replica.call("PUT", "/agents/a1/plugins/wrong", wanted);
    expect(answer.status).toBe(422);
    expect(JSON.stringify((await answer.json()).errors)).toContain(JSON.stringify(path));
  });

  test("a service with another identity is another sender", async () => {
    await addAgent(replica, "acme", "later");
    await replica.deps.db.write({ sql: "UPDATE agents SET role = 'service' WHERE id = 'later'", params: [] });
    const first = await enrollAgent(replica, "later");
    await addPlugin(replica, "a1", "followed", sealedPlugin({ senders: ["later"] }));
    expect((await sealOf("followed"))?.senders[0]?.identifier).toBe(first.identity.identifier);
    const second = await enrollAgent(replica, "later");
    await replica.messaging.identityChanged("later");
    expect((await sealOf("followed"))?.senders[0]?.identifier).toBe(second.identity.identifier);
  });
});

describe("down", () => {
  const lane = (plugin: string): MessageLane => ({ agent: "a1", plugin, direction: "down" });

  test("what is pushed is signed by Solaris and sealed to the node; no row holds it", async () => {
    await addPlugin(replica, "a1", "orders", sealedPlugin());
    const headers = { "content-type": "text/plain" };
    const pushed = await (
      await replica.call("POST", "/agents/a1/plugins/orders/messages", utf8("an order"), headers)
    ).json();
    const [entry] = await readDown(replica, "a1", "orders", 1);
    const [message] = decodeDownEntry(entry?.bytes ?? new Uint8Array()).messages;
    expect(message).toMatchObject({ id: pushed.id, contentType: sealedContentType });
    const opened = await openMessage(webSuite, message?.body ?? new Uint8Array(), {
      unseal: (jwe) => node.unseal(jwe),
      senders: [await solaris("orders")],
      isRevoked: () => false,
      recipient: node.identity.identifier,
      lane: lane("orders"),
      id: pushed.id,
      now: Date.now(),
    });
    expect(opened).toMatchObject({ contentType: "text/plain", body: utf8("an order") });
  });

  test("a sealed message for a plugin that is not, or to another key, or without its key is refused", async () => {
    await addPlugin(replica, "a1", "unsealed");
    await addPlugin(replica, "a1", "mine", sealedPlugin());
    const to = {
      sender: service,
      recipient: { identifier: stranger.identity.identifier, ...recipientOf(stranger.identity) },
      lane: lane("mine"),
      now: Date.now(),
    };
    const body = await sealMessage(webSuite, systemRandom, to, { id: "x", body: utf8("x") });
    const headers = { "content-type": sealedContentType, "idempotency-key": "k" };
    const push = async (plugin: string, more: Record<string, string>) =>
      (await (await replica.call("POST", `/agents/a1/plugins/${plugin}/messages`, body, more)).json()).code;
    expect(await push("unsealed", headers)).toBe("invalid");
    expect(await push("mine", headers)).toBe("invalid");
    expect(await push("mine", { "content-type": sealedContentType })).toBe("bad_request");
  });
});

describe("up", () => {
  interface Twist extends Partial<MessageLane> {
    readonly by?: NodeKeys;
    readonly to?: NodeKeys["identity"];
    readonly now?: number;
    readonly signedId?: string;
  }
  async function genuine(plugin: string, id: string, text: string, twist: Twist = {}): Promise<Partial<UpMessage>> {
    const { by = node, to = await solaris(plugin), now = Date.now(), signedId = id, ...over } = twist;
    const place = { agent: "a1", plugin, direction: "up", ...over } as const;
    const recipient = { identifier: to.identifier, ...recipientOf(to) };
    const content = { id: signedId, contentType: "text/plain", body: utf8(text) };
    const seal = { sender: by, recipient, lane: place, now };
    return { id, contentType: sealedContentType, body: await sealMessage(webSuite, systemRandom, seal, content) };
  }
  const send = async (plugin: string, first: number, messages: readonly Partial<UpMessage>[]) =>
    sendUp(replica, "a1", { plugin, generation: 1, first, messages }, `sealed-${++entries}`);

  test("what is not the node's own, for this lane, id and time is put aside with its reason, and the next is taken", async () => {
    await addPlugin(replica, "a1", "stock", sealedPlugin());
    await addPlugin(replica, "a1", "stock2", sealedPlugin());
    const one = await genuine("stock", "one", "first");
    const bad: readonly (readonly [Partial<UpMessage>, string])[] = [
      [{ id: "plain", body: utf8("in the clear") }, "not_sealed"],
      [{ ...one, id: "replayed" }, "statement_invalid"],
      [one, "conflict"],
      [await genuine("stock", "swapped", "x", { signedId: "other" }), "statement_invalid"],
      [await genuine("stock", "plugin", "x", { plugin: "stock2" }), "unknown_plugin"],
      [await genuine("stock", "agent", "x", { agent: "edge" }), "wrong_agent"],
      [await genuine("stock", "down", "x", { direction: "down" }), "statement_invalid"],
      [await genuine("stock", "forged", "x", { by: stranger }), "statement_invalid"],
      [await genuine("stock", "elsewhere", "x", { to: service.identity }), "crypto"],
      [await genuine("stock", "old", "x", { now: Date.now() - sealedUpAgeMaxMs }), "statement_expired"],
      [await genuine("stock", "new", "x", { now: Date.now() + 3_600_000 }), "clock"],
      [{ id: "cut", contentType: sealedContentType, body: utf8("no JWE") }, "malformed"],
    ];
    await send("stock", 1, [one, ...bad.map(([message]) => message), await genuine("stock", "two", "second")]);
    await send("stock", 2 + bad.length + 1, [one]);
    await eventually("all is judged", async () => (await quarantineOf("stock")).length === bad.length + 1);
    expect((await quarantineOf("stock")).map(({ code }) => code)).toEqual([...bad.map(([, code]) => code), "conflict"]);
    const received = await receivedOf("stock");
    expect(received.map(({ id, body, sealed, contentType }) => [id, body, sealed, contentType])).toEqual([
      ["one", "first", true, "text/plain"],
      ["two", "second", true, "text/plain"],
    ]);
  });

  test("what is for another consumer is kept as it is; what is not for it is put aside", async () => {
    await addPlugin(replica, "a1", "shopped", sealedPlugin({ consumer: "shop" }));
    const theirs = await genuine("shopped", "theirs", "for the shop", { to: service.identity });
    await send("shopped", 1, [theirs, await genuine("shopped", "ours", "for Solaris")]);
    await eventually("both are judged", async () => (await quarantineOf("shopped")).length === 1);
    expect(await quarantineOf("shopped")).toMatchObject([{ code: "crypto", message: "ours" }]);
    expect(await receivedOf("shopped")).toMatchObject([
      { id: "theirs", body: fromUtf8(theirs.body ?? new Uint8Array()), contentType: sealedContentType },
    ]);
  });

  test("a key that was rotated out counts for what was under way, and no longer", async () => {
    await addAgent(replica, "acme", "rotating");
    const rotate = async (madeMs: number) => {
      const own = await createIdentity(webSuite, systemRandom, { now: Date.now() - 86_400_000 });
      const next = await extendIdentity(webSuite, systemRandom, own, { now: madeMs });
      const { chain, identity } = next;
      await replica.deps.db.write(
        {
          sql: "UPDATE agent_identities SET identifier = ?, chain = ?, kid = ?, x25519 = ? WHERE agent_id = 'rotating'",
          params: [identity.identifier, chain, identity.last.hash, identity.last.x25519],
        },
        { sql: "UPDATE agents SET identifier = ? WHERE id = 'rotating'", params: [identity.identifier] },
      );
      return nodeKeys(webSuite, own.secrets, own.identity);
    };
    await enrollAgent(replica, "rotating");
    await addPlugin(replica, "rotating", "stock", sealedPlugin());
    await addPlugin(replica, "a1", "helper", sealedPlugin());
    const to = await solaris("helper");
    const up = async (by: NodeKeys, id: string, first: number) => {
      const message = await genuine("stock", id, id, { by, to, agent: "rotating", now: Date.now() - 80_000_000 });
      const fresh = await genuine("stock", `${id}-fresh`, id, { by, to, agent: "rotating" });
      await sendUp(
        replica,
        "rotating",
        { plugin: "stock", generation: 1, first, messages: [message, fresh] },
        `sealed-${++entries}`,
      );
    };
    await up(await rotate(Date.now() - 60_000), "soon", 1);
    const received = async () =>
      (await (await replica.call("GET", "/received?agentId=rotating")).json()).items as { id: string }[];
    await eventually("what was under way is taken", async () => (await received()).length === 2);
    await up(await rotate(Date.now() - 2 * 3_600_000), "late", 3);
    const aside = async () =>
      (await (await replica.call("GET", "/quarantine?agentId=rotating")).json()).items as { code: string }[];
    await eventually("what came later is put aside", async () => (await aside()).length === 2);
    // However it is dated: a stolen key could date as it likes.
    expect((await aside()).map(({ code }) => code)).toEqual(["statement_stale", "statement_stale"]);
  });
});
