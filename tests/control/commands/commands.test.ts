import { afterAll, beforeAll, expect, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import { commandSchema } from "#lib/session";
import { unsealedText, verifyCommand } from "#lib/statement";
import { addAgent, addCustomer, addPlugin, DataSide, enrollAgent, type Replica, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";

let side: DataSide;
let replica: Replica;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
});
afterAll(() => side[Symbol.asyncDispose]());

const give = (agent: string, command: unknown, headers = {}) =>
  replica.call("POST", `/agents/${agent}/commands`, { command }, headers);

test("a command is signed, sealed to the node, expiring, and its answer is kept", async () => {
  await addAgent(replica, "acme", "g1");
  const keys = await enrollAgent(replica, "g1");
  const waiting = give("g1", { name: "check", plugin: "erp" }, { prefer: "wait=20" });
  const [entry] = await eventually("given", async () => {
    const all = await replica.broker.commands("g1");
    return all.length > 0 ? all : undefined;
  });
  const jws = unsealedText(await keys.unseal(fromUtf8(entry?.bytes ?? utf8(""))));
  const claims = await verifyCommand(replica.deps.suite, jws, {
    authority: replica.authority.identity,
    recipient: keys.identity.identifier,
    now: Date.now(),
  });
  expect(commandSchema.parse({ name: claims.name, ...claims.arguments })).toEqual({ name: "check", plugin: "erp" });
  const body = utf8(JSON.stringify({ ok: true, result: { latencyMs: 3 } }));
  await sendUp(replica, "g1", {
    plugin: "$node",
    generation: 1,
    first: 1,
    messages: [{ kind: "answer", about: claims.id, body }],
  });
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ id: claims.id, state: "done", result: { latencyMs: 3 } });
  // A second answer changes nothing, nor does another agent's.
  await addAgent(replica, "acme", "g1x");
  const other = utf8(JSON.stringify({ ok: false }));
  await sendUp(replica, "g1", {
    plugin: "$node",
    generation: 1,
    first: 2,
    messages: [{ kind: "answer", about: claims.id, body: other }],
  });
  await sendUp(replica, "g1x", {
    plugin: "$node",
    generation: 1,
    first: 1,
    messages: [{ kind: "answer", about: claims.id, body: other }],
  });
  await eventually("ingested", async () => (await replica.messaging.upWatermarks("g1x"))[0]?.number === 1);
  expect(await (await replica.call("GET", `/commands/${claims.id}`)).json()).toMatchObject({ state: "done" });
  expect(
    (await replica.call("GET", `/commands/${claims.id}`, undefined, { authorization: "Bearer other" })).status,
  ).toBe(404);
});

test("what can't be given is refused with a code", async () => {
  await addAgent(replica, "acme", "g2");
  expect((await give("g2", { name: "reconnect" })).status).toBe(409);
  await enrollAgent(replica, "g2");
  expect((await give("g2", { name: "format-disk" })).status).toBe(422);
  expect((await give("g2", { name: "reconnect" }, { authorization: "Bearer other" })).status).toBe(404);
  expect((await give("g2", { name: "reconnect" }, { authorization: "Bearer reader" })).status).toBe(403);
  expect((await give("g2", { name: "reconnect" })).status).toBe(202);
});

test("a decision about an unknown message goes to the node as a command", async () => {
  await addAgent(replica, "acme", "g3");
  await enrollAgent(replica, "g3");
  await addPlugin(replica, "g3", "orders");
  const { id } = (await (await replica.call("POST", "/agents/g3/plugins/orders/messages", utf8("x"))).json()) as {
    id: string;
  };
  expect((await replica.call("POST", `/messages/${id}/settle`, { decision: "applied" })).status).toBe(409);
  await sendUp(replica, "g3", {
    plugin: "orders",
    generation: 1,
    first: 1,
    messages: [{ kind: "unknown", about: id, body: utf8("x") }],
  });
  const settle = await eventually("taken", async () => {
    const answer = await replica.call("POST", `/messages/${id}/settle`, { decision: "applied" });
    return answer.status === 202 ? ((await answer.json()) as { commandId: string }) : undefined;
  });
  expect(await (await replica.call("GET", `/commands/${settle.commandId}`)).json()).toMatchObject({
    name: "settle",
    detail: { plugin: "orders", message: id, decision: "applied" },
  });
});
