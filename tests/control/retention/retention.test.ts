import { afterAll, beforeAll, expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { addAgent, addCustomer, addPlugin, DataSide, type Replica, readDown, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";
import { makeLeases } from "../../../control/leases/index.ts";
import { defaultRetention, purgeOnce } from "../../../control/retention/index.ts";
import { purgeRules } from "../../../control/retention/purge-rules.ts";

let side: DataSide;
let replica: Replica;
const dayMs = 86_400_000;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
});
afterAll(() => side[Symbol.asyncDispose]());

/** Purges as if so many days had passed. */
async function purgeAfter(days: number) {
  const { deps } = replica;
  const lease = await makeLeases(deps, "test").acquire(crypto.randomUUID(), 60_000);
  if (lease === undefined) throw new TypeError("no lease");
  const clock = { ...deps.clock, now: () => deps.clock.now() + days * dayMs };
  return purgeOnce({ ...deps, clock, retention: defaultRetention }, lease, new AbortController().signal);
}

const count = async (table: string) =>
  (await replica.deps.db.read<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n;

test("what has outlived its time goes; what waits to be delivered stays", async () => {
  await addAgent(replica, "acme", "h1");
  await addPlugin(replica, "h1", "orders");
  await addPlugin(replica, "h1", "orders");
  const pushed = await replica.call("POST", "/agents/h1/plugins/orders/messages:batch", [
    { body: "1" },
    { body: "2" },
    { body: "3" },
  ]);
  const { items } = (await pushed.json()) as { items: { id: string }[] };
  const [entry] = await readDown(replica, "h1", "orders", 1);
  if (entry === undefined) throw new TypeError("no entry");
  const at = entry.seq * 1_024;
  const status = { created: entry.created, stored: at + 1, applied: at, at: replica.deps.clock.now() };
  const letter = { kind: "dead", about: items[2]?.id ?? "", body: utf8("3"), reason: "no" } as const;
  await sendUp(replica, "h1", { plugin: "orders", generation: 1, first: 1, messages: [{}, letter], status });
  await eventually("ingested", async () => (await replica.messaging.upWatermarks("h1"))[0]?.number === 2);
  expect(Object.keys(await purgeAfter(6)).filter((table) => table !== "rate_windows")).toEqual([]);
  expect(await count("messages")).toBe(3);
  await purgeAfter(31);
  const left = await replica.deps.db.read<{ id: string }>("SELECT id FROM messages");
  expect(left.map(({ id }) => id)).toEqual([items[1]?.id ?? ""]);
  expect(await count("push_entries")).toBe(1);
  expect(await count("received")).toBe(0);
  expect(await count("lane_progress")).toBe(0);
  expect(await count("letters")).toBe(1);
  await purgeAfter(91);
  expect(await count("letters")).toBe(0);
  await purgeAfter(366);
  expect(await replica.deps.db.read("SELECT version FROM plugin_versions WHERE agent_id = 'h1'")).toEqual([
    { version: 2 },
  ]);
  expect(await replica.messaging.upWatermarks("h1")).toEqual([{ plugin: "orders", generation: 1, number: 2 }]);
});

test("a purge without old rows looks at few: each rule stops at the first row that is young", async () => {
  const { deps } = replica;
  for (const { table, where, params, order, key } of purgeRules(defaultRetention, deps.clock.now())) {
    const plan = await deps.db.read<{ detail: string }>(
      `EXPLAIN QUERY PLAN SELECT ${key} FROM ${table} WHERE ${where} ORDER BY ${order} LIMIT 500`,
      params,
    );
    const scans = plan.filter(({ detail }) => detail === `SCAN ${table}`).map(() => table);
    if (table !== "rate_windows") expect(scans).toEqual([]); // of two minutes at most
  }
});

test("the lifetimes are told", async () => {
  expect(await (await replica.call("GET", "/retention")).json()).toEqual(defaultRetention);
});
