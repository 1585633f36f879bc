import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Broker } from "#lib/broker";
import { fromBase64url, utf8 } from "#lib/bytes";
import type { ReceivedSealed } from "#lib/client";
import { webSuite } from "#lib/crypto";
import { createIdentity, nodeKeys, recipientOf, verifyIdentity } from "#lib/identity";
import { systemClock, systemRandom } from "#lib/runtime";
import type { DownMessage } from "#lib/session";
import { type MessageContent, type MessageLane, type Sender, sealedContentType, sealMessage } from "#lib/statement";
import { DownLane } from "../../support/down-lane.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import { intruder } from "../../support/intruder.ts";
import { needs } from "../../support/needs.ts";
import { addService } from "../../support/service.ts";
import { Stack } from "../../support/stack.ts";

setDefaultTimeout(120_000);

interface Letter {
  readonly id: number;
  readonly code: string;
  readonly message: string | null;
}

/** Whoever rules Nexus or the broker writes into the lane of a sealed plugin; each lie is told, the next message is applied. */
needs("nats-server", "apt-get install nats-server")("in the lane of a sealed plugin", () => {
  let stack: Stack;
  let broker: Broker;
  let site: Awaited<ReturnType<Stack["addAgent"]>>["site"];
  let customerId: string;
  let agentId: string;
  let service: Awaited<ReturnType<typeof addService>>;
  let stranger: Awaited<ReturnType<typeof addService>>;
  let plugins = 0;

  beforeAll(async () => {
    stack = await Stack.start({ broker: "nats" });
    broker = await intruder(stack);
    ({ agentId, customerId, site } = await stack.addAgent());
    service = await addService(stack, customerId, "shop");
    stranger = await addService(stack, customerId, "not-asked");
  });
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  const fileConfig = (sealed: boolean) => ({
    type: "file",
    config: { down: { directory: site.exchange, name: "{id}.txt" } },
    ...(sealed ? { sealed, sealing: { senders: [service.service.agentId] } } : {}),
  });

  /** A new sealed plugin, its site away. */
  async function laneOfItsOwn(sealed = true): Promise<{ plugin: string; lane: DownLane }> {
    const plugin = `p${++plugins}`;
    if (!site.program.running) {
      site.start();
      await stack.online(agentId);
    }
    await stack.api.putPlugin(agentId, plugin, fileConfig(sealed));
    await stack.applied(agentId, plugin);
    await site.program.stop();
    return { plugin, lane: new DownLane(broker, agentId, plugin) };
  }

  /** The site comes back: what it refused, and that a message behind all that is applied. */
  async function settle(plugin: string, refused: number): Promise<Letter[]> {
    const pushed = await stack.api.push(agentId, plugin, "behind them all");
    site.start();
    await eventually(
      "the one behind is applied",
      async () => (await stack.api.message(pushed.id)).state === "applied",
      { timeoutMs: 30_000 },
    );
    expect(await textOf(pushed.id)).toBe("behind them all");
    const letters = await eventually("each refusal has its letter", async () => {
      const items = await lettersOf(plugin);
      return items.length >= refused && items;
    });
    return letters.toReversed();
  }

  const lettersOf = (plugin: string) => stack.api.all<Letter>(`/dead-letters?agentId=${agentId}&plugin=${plugin}`);
  const textOf = (id: string) => Bun.file(join(site.exchange, `${id}.txt`)).text();
  const codes = (letters: readonly Letter[]) => letters.map(({ code }) => code);
  const only = async (lane: DownLane, count: number): Promise<DownMessage[]> =>
    (await lane.read(count)).flatMap(({ messages }) => messages);

  const node = async () => {
    const { identifier, chain } = await stack.api.call<{ identifier: string; chain: string }>(
      "GET",
      `/agents/${agentId}/identity`,
    );
    const identity = await verifyIdentity(webSuite, fromBase64url(chain) ?? new Uint8Array(), { now: Date.now() });
    return { identifier, ...recipientOf(identity) };
  };
  const forged = async (
    sender: Sender,
    plugin: string,
    content: MessageContent,
    over: Partial<MessageLane & { now: number }> = {},
  ) => {
    const { now = Date.now(), ...lane } = over;
    const place = { agent: agentId, plugin, direction: "down", ...lane } as const;
    const body = await sealMessage(
      webSuite,
      systemRandom,
      { sender, recipient: await node(), lane: place, now },
      content,
    );
    return { id: content.id, time: Date.now(), contentType: sealedContentType, body };
  };

  test("what is not sealed, what carries another id and what two of them have swapped is refused", async () => {
    const { plugin, lane } = await laneOfItsOwn();
    for (const text of ["one", "two"]) await stack.api.push(agentId, plugin, text);
    const [one, two] = await only(lane, 2);
    if (one === undefined || two === undefined) throw new TypeError("nothing waits");
    await lane.put([
      { id: "stripped", time: Date.now(), body: utf8("in the clear") },
      { ...one, id: "replayed" },
      { ...one, id: two.id },
      { ...two, id: one.id },
      { ...one, id: "half", body: one.body.subarray(0, one.body.length / 2) },
      { id: "no-jwe", time: Date.now(), contentType: sealedContentType, body: utf8("in the clear") },
      one, // as it was: the same message, known
    ]);
    const letters = await settle(plugin, 6);
    expect(codes(letters)).toEqual([
      "not_sealed",
      "statement_invalid",
      "statement_invalid",
      "statement_invalid",
      "malformed",
      "malformed",
    ]);
    // A letter says nothing about a genuine id that it was written under.
    expect(letters.map(({ message }) => message)).toEqual(["stripped", "replayed", null, null, "half", "no-jwe"]);
    for (const [{ id }, text] of [
      [one, "one"],
      [two, "two"],
    ] as const) {
      expect(await textOf(id)).toBe(text);
      expect((await stack.api.message(id)).state).toBe("applied");
    }
    expect(readdirSync(site.exchange).filter((name) => /stripped|replayed|half|no-jwe/.test(name))).toEqual([]);
  });

  test("what was sealed for another plugin or another agent is refused", async () => {
    const there = await laneOfItsOwn();
    await stack.api.push(agentId, there.plugin, "for the first plugin");
    const [message] = await only(there.lane, 1);
    const other = await stack.addAgent({ customerId, name: "other" });
    await stack.api
      .putPlugin(other.agentId, "orders", { type: "noop", config: {}, sealed: true })
      .catch(() => undefined);
    await stack.api.putPlugin(other.agentId, "orders", {
      type: "file",
      config: { down: { directory: other.site.exchange, name: "{id}.txt" } },
      sealed: true,
    });
    await stack.applied(other.agentId, "orders");
    await other.site.program.stop();
    await stack.api.push(other.agentId, "orders", "for the other agent");
    const [theirs] = await only(new DownLane(broker, other.agentId, "orders"), 1);
    const { plugin, lane } = await laneOfItsOwn();
    if (message === undefined || theirs === undefined) throw new TypeError("nothing waits");
    await lane.put([message, theirs]);
    expect(codes(await settle(plugin, 2))).toEqual(["unknown_plugin", "crypto"]);
  });

  test("what nobody signed who may send, or who may no more, is refused", async () => {
    const { plugin, lane } = await laneOfItsOwn();
    const own = await createIdentity(webSuite, systemRandom, { now: systemClock.now() });
    const nobody = await nodeKeys(webSuite, own.secrets, own.identity);
    const body = utf8("a lie");
    const days = 86_400_000;
    await lane.put([
      await forged(nobody, plugin, { id: "nobody", body }),
      await forged(stranger.service.keys, plugin, { id: "same-customer", body }),
      await forged(service.service.keys, plugin, { id: "upwards", body }, { direction: "up" }),
      await forged(service.service.keys, plugin, { id: "too-old", body }, { now: Date.now() - 8 * days }),
      await forged(service.service.keys, plugin, { id: "too-new", body }, { now: Date.now() + days }),
      await forged(service.service.keys, plugin, { id: "genuine", body: utf8("no lie") }),
    ]);
    expect(codes(await settle(plugin, 5))).toEqual([
      "statement_invalid",
      "statement_invalid",
      "statement_invalid",
      "statement_expired",
      "clock",
    ]);
    expect(await textOf("genuine")).toBe("no lie");
  });

  test("a message of a service is applied once; a second under its key is refused, and one for a key of nobody's", async () => {
    const { plugin } = await laneOfItsOwn();
    const to = { agentId, plugin };
    const sealed = await service.client.seal(to, {
      body: utf8("by the shop"),
      contentType: "text/plain",
      idempotencyKey: "k",
    });
    const first = await service.client.push(sealed);
    expect(await service.client.push(sealed)).toMatchObject({ id: first.id, repeated: true });
    const again = await service.client.seal(to, { body: utf8("by the shop, again"), idempotencyKey: "k" });
    await expect(service.client.push(again)).rejects.toMatchObject({ code: "idempotency_conflict" });
    const changed = { ...sealed, idempotencyKey: "another", body: utf8("no JWE") };
    await expect(service.client.push(changed)).rejects.toMatchObject({ code: "malformed" });
    await settle(plugin, 0);
    expect(await textOf(first.id)).toBe("by the shop");
    expect(await lettersOf(plugin)).toEqual([]);
  });

  test("what waits unsealed when the switch is turned on becomes a dead letter, and its replay is sealed", async () => {
    const { plugin, lane } = await laneOfItsOwn(false);
    site.start();
    await stack.online(agentId);
    // Off, so that nothing is delivered under the rule of before.
    await stack.api.putPlugin(agentId, plugin, { ...fileConfig(false), enabled: false });
    await eventually("it is off", async () => (await stack.api.plugin(agentId, plugin)).actual?.state === "disabled");
    const { id } = await stack.api.push(agentId, plugin, "from before");
    await stack.api.putPlugin(agentId, plugin, fileConfig(true));
    const behind = await stack.api.push(agentId, plugin, "from after", { waitS: 20 });
    expect(behind.state).toBe("applied");
    const letters = await eventually("it has its letter", async () => {
      const items = await lettersOf(plugin);
      return items.length > 0 && items;
    });
    expect(letters).toMatchObject([{ code: "not_sealed", message: id }]);
    await site.program.stop();
    const replay = await stack.api.call<{ id: string }>("POST", `/dead-letters/${letters[0]?.id}/replay`);
    const [waiting] = (await only(lane, 1)).filter((message) => message.id === replay.id);
    expect(waiting?.contentType).toBe(sealedContentType);
    site.start();
    await eventually("it is applied", async () => (await stack.api.message(replay.id)).state === "applied", {
      timeoutMs: 30_000,
    });
    expect(await textOf(id)).toBe("from before");
  });

  test("a dead one is replayed as its sender made it, and only under Solaris' word", async () => {
    const { plugin, lane } = await laneOfItsOwn();
    site.start();
    await stack.online(agentId);
    // Takes no messages: each is dead at once.
    const { config: _config, type: _type, ...sealing } = fileConfig(true);
    const port = freePort();
    await stack.api.putPlugin(agentId, plugin, {
      ...sealing,
      type: "webhook",
      config: { port, auth: { kind: "none" } },
    });
    await stack.applied(agentId, plugin);
    const sealed = await service.client.seal({ agentId, plugin }, { body: utf8("by the shop") });
    const pushed = await service.client.push(sealed, { waitS: 20 });
    expect(pushed.state).toBe("dead");
    const [letter] = await eventually("it has its letter", async () => {
      const items = await lettersOf(plugin);
      return items.length > 0 && items;
    });
    await stack.api.putPlugin(agentId, plugin, fileConfig(true));
    await stack.applied(agentId, plugin);
    const payload = await (await stack.api.request("GET", `/dead-letters/${letter?.id}/payload`)).text();
    expect(payload).not.toContain("by the shop");
    const replay = await stack.api.call<{ id: string }>("POST", `/dead-letters/${letter?.id}/replay`);
    await eventually("it is applied", async () => (await stack.api.message(replay.id)).state === "applied");
    expect(await textOf(pushed.id)).toBe("by the shop");
    const wrapped = { id: "wrapped", contentType: sealedContentType, replays: pushed.id, body: sealed.body };
    await site.program.stop();
    await lane.put([await forged(service.service.keys, plugin, wrapped)]);
    expect(codes(await settle(plugin, 2))).toEqual(["refused", "statement_invalid"]);
  });

  test("a revoked sender is none", async () => {
    const gone = await addService(stack, customerId, "gone");
    const { plugin, lane } = await laneOfItsOwn();
    site.start();
    await stack.online(agentId);
    const senders = [service.service.agentId, gone.service.agentId];
    await stack.api.putPlugin(agentId, plugin, { ...fileConfig(true), sealing: { senders } });
    await stack.applied(agentId, plugin);
    const sealed = await gone.client.seal({ agentId, plugin }, { body: utf8("still good") });
    expect((await gone.client.push(sealed, { waitS: 20 })).state).toBe("applied");
    await site.program.stop();
    await stack.api.revoke(gone.service.agentId);
    await lane.put([await forged(gone.service.keys, plugin, { id: "late", body: utf8("a lie") })]);
    expect(codes(await settle(plugin, 1))).toEqual(["revoked"]);
  });

  test("what comes up for a service is opened by it alone, and by nobody under another name", async () => {
    const port = freePort();
    const other = await stack.addAgent({ customerId, name: "up", allow: [`127.0.0.1:${port}`] });
    const wanted = { type: "webhook", config: { port, auth: { kind: "none" } }, sealed: true };
    await stack.api.putPlugin(other.agentId, "hook", { ...wanted, sealing: { consumer: service.service.agentId } });
    await stack.applied(other.agentId, "hook");
    const headers = { "content-type": "text/plain" };
    expect((await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "for the shop", headers })).status).toBe(
      202,
    );
    const [item] = await eventually("it is received", async () => {
      const { items } = await stack.api.call<{ items: ReceivedSealed[] }>("GET", `/received?agentId=${other.agentId}`);
      return items.length > 0 && items;
    });
    if (item === undefined) throw new TypeError("nothing received");
    expect(item.body).not.toContain("for the shop");
    expect(await service.client.open(item)).toMatchObject({
      id: item.id,
      contentType: "text/plain",
      body: utf8("for the shop"),
    });
    await expect(stranger.client.open(item)).rejects.toMatchObject({ code: "crypto" });
    await expect(service.client.open({ ...item, id: "another" })).rejects.toMatchObject({ code: "statement_invalid" });
    await expect(service.client.open({ ...item, plugin: "another" })).rejects.toMatchObject({ code: "unknown_plugin" });
    await expect(service.client.open({ ...item, agentId })).rejects.toMatchObject({ code: "statement_invalid" });
    await expect(service.client.open({ ...item, receivedAt: item.receivedAt + 8 * 86_400_000 })).rejects.toMatchObject({
      code: "statement_expired",
    });
    service.client.expect(other.agentId, service.service.keys.identity.identifier);
    await expect(service.client.open(item)).rejects.toMatchObject({ code: "identity_unexpected" });
  });
});
