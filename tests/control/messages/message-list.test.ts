import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { placesPerEntry, positionOf } from "#lib/delivery";
import { DataSide, type Replica } from "#support/data-side";
import { laneDepths, listMessages, listQuery } from "../../../control/messages/message-list.ts";

let side: DataSide;
let replica: Replica;
beforeEach(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await write(
    "INSERT INTO lanes (id, customer_id, agent_id, plugin) VALUES (1, 'c', 'a', 'p'), (2, 'c', 'a', 'q'), (3, 'd', 'b', 'p')",
  );
});
afterEach(() => side[Symbol.asyncDispose]());

const write = (sql: string, ...params: (string | number | null)[]) => replica.deps.db.write({ sql, params });

/** `count` entries of one message each in a life of the stream; sequences from `seq` on, or none yet. */
async function published(lane: number, stream: string | null, seq: number, count: number): Promise<void> {
  const numbers = "WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i + 1 < ?)";
  const first = `coalesce((SELECT max(id) FROM push_entries), 0)`;
  const [row] = await replica.deps.db.read<{ id: number }>(`SELECT ${first} AS id`);
  const id = (row?.id ?? 0) + 1;
  await write(
    `INSERT INTO push_entries (id, token, lane, count, created_at, held_until, stream, seq)
      ${numbers} SELECT ? + i, 't' || (? + i), ?, 1, 0, 0, ?, ${stream === null ? "NULL" : "? + i"} FROM k`,
    ...[count, id, id, lane, stream, ...(stream === null ? [] : [seq])],
  );
  await write(
    `INSERT INTO messages (place, id, lane, size) ${numbers} SELECT (? + i) * ${placesPerEntry}, 'm' || (? + i), ?, 0 FROM k`,
    ...[count, id, id, lane],
  );
}

const said = (lane: number, stream: string, storedSeq: number, appliedSeq: number, at = 0) =>
  write(
    "INSERT INTO lane_streams (lane, stream, stored, applied, at) VALUES (?, ?, ?, ?, ?)",
    ...[lane, stream, positionOf(storedSeq, 0), positionOf(appliedSeq, 0), at],
  );

const idsOf = async (filter: Parameters<typeof listMessages>[1]) =>
  (await listMessages(replica.deps.db, filter, 50)).map(({ id }) => id);

describe("a list of open messages", () => {
  test("is found without a walk over what is applied: no plan scans messages or entries", async () => {
    for (const state of ["queued", "stored", "dead", "unknown"] as const)
      for (const scope of [{}, { customerId: "c" }, { agentId: "a", plugin: "p" }]) {
        const { sql, params } = listQuery({ state, ...scope }, 50);
        const plan = await replica.deps.db.read<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, params);
        for (const { detail } of plan)
          expect([state, detail]).toEqual([state, expect.not.stringMatching(/^SCAN [mep]\b/)]);
      }
  });

  test("over 200,000 applied rows it costs what it finds, not what it passes", async () => {
    await published(1, "now", 1, 200_000);
    await said(1, "now", 200_000, 200_000);
    const timed = async (filter: Parameters<typeof listMessages>[1]) => {
      const from = replica.deps.clock.monotonic();
      const ids = await idsOf(filter);
      return { ids, ms: replica.deps.clock.monotonic() - from };
    };
    const all = await timed({ state: "applied", before: 2 * placesPerEntry });
    expect(all.ids).toEqual(["m1"]);
    expect((await timed({ state: "queued" })).ids).toEqual([]);
    const nothing = await timed({ state: "queued" });
    expect(nothing.ids).toEqual([]);
    expect(nothing.ms).toBeLessThan(20);
    await published(1, "now", 200_001, 3);
    expect((await timed({ state: "queued" })).ids).toEqual(["m200003", "m200002", "m200001"]);
  }, 60_000);

  test("of one agent is found without a walk over what others have pushed, page by page", async () => {
    const { sql, params } = listQuery({ agentId: "a" }, 50);
    const plan = await replica.deps.db.read<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, params);
    for (const { detail } of plan) expect(detail).not.toMatch(/^SCAN [mep]\b/);
    for (const [lane, count] of [
      [1, 30],
      [3, 40],
      [2, 25],
      [1, 3],
      [3, 5],
    ] as const)
      await published(lane, "now", 1, count);
    const everything = await listMessages(replica.deps.db, {}, 1_000_000);
    expect(everything).toHaveLength(103);
    for (const agentId of new Set(everything.map((row) => row.agentId))) {
      const expected = everything.filter((row) => row.agentId === agentId).slice(0, 120);
      const pages = [];
      let before: number | undefined;
      while (pages.length < expected.length) {
        const page = await listMessages(replica.deps.db, { agentId, before }, 7);
        expect(page.length).toBeGreaterThan(0);
        pages.push(...page);
        before = page.at(-1)?.place;
      }
      expect(pages.slice(0, expected.length)).toEqual(expected);
    }
  });

  test("counts each life of a stream for itself: another's watermark says nothing", async () => {
    await published(1, "before", 1_000, 3); // m1 m2 m3: the first is applied, the second stored
    await said(1, "before", 1_001, 1_000, 5);
    await published(1, "now", 1, 3); // m4 m5 m6: the same
    await said(1, "now", 2, 1, 9);
    await published(1, null, 0, 1); // m7
    await published(2, "now", 7, 1); // m8: its site has said nothing
    await published(3, "now", 7, 1); // m9: another customer's
    expect(await idsOf({ state: "queued", customerId: "c" })).toEqual(["m8", "m7", "m6", "m3"]);
    expect(await idsOf({ state: "stored" })).toEqual(["m5", "m2"]);
    expect(await idsOf({ state: "applied" })).toEqual(["m4", "m1"]);
    expect(await idsOf({ state: "queued", agentId: "a", plugin: "q" })).toEqual(["m8"]);
    expect(await idsOf({ state: "queued", before: 8 * placesPerEntry })).toEqual(["m7", "m6", "m3"]);
    const depths = await laneDepths(replica.deps.db, "a");
    expect(depths.map(({ plugin, queued, stored, at }) => [plugin, queued, stored, at])).toEqual([
      ["p", 3, 2, 9],
      ["q", 1, 0, null],
    ]);
  });
});
