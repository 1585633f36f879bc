import { afterAll, beforeAll, expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { addAgent, addCustomer, addPlugin, DataSide, filePlugin, type Replica, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";

let side: DataSide;
let replica: Replica;
beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
  await addCustomer(replica, "other");
});
afterAll(() => side[Symbol.asyncDispose]());

interface Quarantined {
  readonly id: number;
  readonly message: string;
  readonly time: number | null;
  readonly settled: string | null;
}
interface Received {
  readonly cursor: string;
  readonly id: string;
  readonly time: number;
  readonly body: string;
}

const receiveSchema = { type: "object", required: ["id"], properties: { id: { type: "integer" } } };
const as = (key: string) => ({ authorization: `Bearer ${key}` });

async function get<T>(path: string): Promise<T[]> {
  return ((await (await replica.call("GET", path)).json()) as { items: T[] }).items;
}
const held = (agent: string, query = "") => get<Quarantined>(`/quarantine?agentId=${agent}${query}`);
const received = (agent: string) => get<Received>(`/received?agentId=${agent}`);

/** An agent that sent two messages that fit its schema and, between them, two that do not. */
async function sent(agent: string): Promise<readonly [newer: Quarantined, older: Quarantined]> {
  await addAgent(replica, "acme", agent);
  await addPlugin(replica, agent, "orders", { ...filePlugin, receiveSchema });
  const messages = ['{"id":1}', '{"id":"two"}', '{"id":"three"}', '{"id":4}'].map((body) => ({ body: utf8(body) }));
  await sendUp(replica, agent, { plugin: "orders", generation: 1, first: 1, messages });
  await eventually("what fits", async () => (await received(agent)).length === 2);
  const [newer, older] = await held(agent);
  if (newer === undefined || older === undefined) throw new TypeError("two do not fit");
  return [newer, older];
}

const decide = (id: number, verb: string, key = "acme") =>
  replica.call("POST", `/quarantine/${id}/${verb}`, undefined, as(key));

async function audited(action: string, agent: string): Promise<number> {
  const sql = "SELECT count(*) AS count FROM audit_entries WHERE action = ? AND subject = ?";
  const [row] = await replica.deps.db.read<{ count: number }>(sql, [action, agent]);
  return row?.count ?? 0;
}

test("a released message is the newest of all received, with its own id and time, once", async () => {
  const [, older] = await sent("q1");
  const [before] = (await received("q1")).slice(-1);
  const answers = await Promise.all(Array.from({ length: 4 }, () => decide(older.id, "release")));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const cursors = await Promise.all(answers.map(async (one) => ((await one.json()) as { cursor: string }).cursor));
  const items = await received("q1");
  expect(items.map(({ body }) => body)).toEqual(['{"id":1}', '{"id":4}', '{"id":"two"}']);
  const [last] = items.slice(-1);
  expect(last).toMatchObject({ id: older.message, time: older.time ?? 0 });
  expect(new Set(cursors)).toEqual(new Set([last?.cursor ?? ""]));
  // Whoever had read everything finds it behind that.
  expect(await get<Received>(`/received?agentId=q1&after=${before?.cursor}`)).toMatchObject([{ id: older.message }]);
  expect(await audited("quarantine.released", "q1")).toBe(1);
  expect((await held("q1", "&open=false")).map(({ id, settled }) => [id, settled])).toEqual([[older.id, "released"]]);
  expect(await held("q1", "&open=true")).toHaveLength(1);
  expect((await decide(older.id, "discard")).status).toBe(409);
});

test("what is discarded never comes, and is not released any more", async () => {
  const [newer] = await sent("q2");
  for (let round = 0; round < 2; round++) expect((await decide(newer.id, "discard")).status).toBe(204);
  expect(await audited("quarantine.discarded", "q2")).toBe(1);
  expect((await decide(newer.id, "release")).status).toBe(409);
  expect(await received("q2")).toHaveLength(2);
});

test("of a release and a discard at the same time one counts, and the other is told", async () => {
  const [newer, older] = await sent("q3");
  for (const { id } of [newer, older]) {
    const before = (await received("q3")).length;
    const [released, discarded] = await Promise.all([decide(id, "release"), decide(id, "discard")]);
    expect([released.status, discarded.status].filter((status) => status === 409)).toHaveLength(1);
    expect((await received("q3")).length).toBe(before + (released.status === 200 ? 1 : 0));
  }
});

test("another customer's, a reader's, and what is no message: refused, and nothing changes", async () => {
  const [newer] = await sent("q4");
  for (const verb of ["release", "discard"]) {
    expect((await decide(newer.id, verb, "other")).status).toBe(404);
    expect((await decide(newer.id, verb, "reader")).status).toBe(403);
    expect((await decide(999_999, verb)).status).toBe(404);
  }
  await replica.broker.publish({ kind: "up", agent: "q4", plugin: "orders" }, utf8("no entry"), "bad");
  await eventually("the malformed one", async () => (await held("q4")).length === 3);
  const [malformed] = await held("q4");
  expect(malformed?.time).toBeNull();
  expect((await decide(malformed?.id ?? 0, "release")).status).toBe(409);
  expect((await decide(malformed?.id ?? 0, "discard")).status).toBe(204);
  expect((await held("q4", "&open=true")).length).toBe(2);
});
