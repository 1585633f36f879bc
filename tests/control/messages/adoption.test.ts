import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import { decodeDownEntry } from "#lib/session";
import { addAgent, addCustomer, addPlugin, DataSide, type Replica, readDown, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";
import type { Query } from "../../../control/db/index.ts";
import { makeLanes } from "../../../control/lanes/index.ts";
import { adoptEntries } from "../../../control/messages/push/adopt-entries.ts";
import type { Carry } from "../../../control/messages/push/carry.ts";
import { makePusher } from "../../../control/messages/push/pusher.ts";

let side: DataSide;
let replica: Replica;

/** The gate is open in these tests. */
const targets = { refusal: async () => new Fault("revoked"), sealed: async () => false };
const carry: Carry = async (_lane, _sealed, messages) => messages.map(({ item: { body } }) => ({ body }));

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
});
afterAll(() => side[Symbol.asyncDispose]());

const publishDown = (to: { agent: string; plugin: string }, bytes: Uint8Array, token: string) =>
  replica.broker.publish({ kind: "down", ...to }, bytes, token);

async function laneOf(agent: string) {
  await addAgent(replica, "acme", agent);
  await addPlugin(replica, agent, "orders");
  return makeLanes(replica.deps.db).of({ customerId: "cus_acme", agentId: agent, plugin: "orders" });
}

/** A clock that stands an hour later: what a process held is abandoned. */
const later = () => ({
  ...replica.deps,
  clock: { ...replica.deps.clock, now: () => replica.deps.clock.now() + 3_600_000 },
  lanes: makeLanes(replica.deps.db),
  publishDown,
});

const stateOf = async (id: string) =>
  ((await (await replica.call("GET", `/messages/${id}`)).json()) as { state: string }).state;

describe("an entry whose process died", () => {
  test("after its publish: it gets its place, and the report that came meanwhile counts", async () => {
    const lane = await laneOf("d1");
    const db = {
      ...replica.deps.db,
      // The process dies here: 202 was answered, the place never written.
      writeLater: (...set: readonly (Statement | Query)[]) => {
        const [first] = set;
        const places = first !== undefined && "sql" in first && first.sql.startsWith("UPDATE push_entries SET stream");
        return places ? Promise.reject(new Fault("closed")) : replica.deps.db.writeLater(...set);
      },
    };
    const dying = makePusher({ ...replica.deps, targets, carry, db, publishDown });
    const [result] = await dying.push(lane, [{ body: utf8("x") }]);
    if (result === undefined || result instanceof Fault) throw new TypeError("not pushed");
    await dying[Symbol.asyncDispose]();
    const [entry] = await readDown(replica, "d1", "orders", 1);
    if (entry === undefined) throw new TypeError("no entry");
    const at = entry.seq * 1_024;
    await sendUp(replica, "d1", {
      plugin: "orders",
      generation: 0,
      first: 1,
      messages: [],
      status: { created: entry.created, stored: at, applied: at, at: 1 },
    });
    expect(await stateOf(result.id)).toBe("queued");
    expect(await adoptEntries(later())).toBe(1);
    expect(await adoptEntries(later())).toBe(0);
    await eventually("applied", async () => (await stateOf(result.id)) === "applied");
  });

  test("before its publish: it is published by whoever finds it", async () => {
    const lane = await laneOf("d2");
    const never = new Promise<never>(() => undefined);
    const dying = makePusher({ ...replica.deps, targets, carry, publishDown: () => never });
    void dying.push(lane, [{ body: utf8("late") }]);
    const rows = "SELECT id FROM messages WHERE lane = ?";
    await eventually("rows", async () => (await replica.deps.db.read(rows, [lane.id])).length === 1);
    expect(await adoptEntries({ ...later(), clock: replica.deps.clock })).toBe(0);
    expect(await adoptEntries(later())).toBe(1);
    const [entry] = await readDown(replica, "d2", "orders", 1);
    expect(decodeDownEntry(entry?.bytes ?? utf8("")).messages).toHaveLength(1);
  });

  test("two that find it take it over once", async () => {
    const lane = await laneOf("d3");
    const dying = makePusher({
      ...replica.deps,
      targets,
      carry,
      publishDown: () => new Promise<never>(() => undefined),
    });
    void dying.push(lane, [{ body: utf8("x") }]);
    const rows = "SELECT id FROM messages WHERE lane = ?";
    await eventually("rows", async () => (await replica.deps.db.read(rows, [lane.id])).length === 1);
    const adopted = await Promise.all([adoptEntries(later()), adoptEntries(later())]);
    expect(adopted.toSorted()).toEqual([0, 1]);
  });
});

describe("a broker that refuses", () => {
  test("a full lane is told, its rows go, and a key stays free for the next try", async () => {
    const lane = await laneOf("d4");
    let full = true;
    const pusher = makePusher({
      ...replica.deps,
      targets,
      carry,
      publishDown: (...call) =>
        full ? Promise.reject(new Fault("lane_full", "full", { detail: { limit: "lane" } })) : publishDown(...call),
    });
    const [refused] = await pusher.push(lane, [{ body: utf8("x"), key: "k" }]);
    expect(refused).toBeInstanceOf(Fault);
    expect((refused as Fault).code).toBe("lane_full");
    expect((refused as Fault).detail.retryAfterMs).toBeGreaterThan(0);
    expect(await replica.deps.db.read("SELECT id FROM messages WHERE lane = ?", [lane.id])).toEqual([]);
    full = false;
    const [taken] = await pusher.push(lane, [{ body: utf8("y"), key: "k" }]);
    expect(taken).not.toBeInstanceOf(Fault);
    // A refused repeat leaves the row of the first where it was.
    full = true;
    const [again] = await pusher.push(lane, [{ body: utf8("y"), key: "k" }]);
    expect(again).toBeInstanceOf(Fault);
    if (taken === undefined || taken instanceof Fault) throw new TypeError("not taken");
    expect(await stateOf(taken.id)).toBe("queued");
    await pusher[Symbol.asyncDispose]();
  });

  test("a key that waits in two refused entries leaves no row behind", async () => {
    const lane = await laneOf("d6");
    const held = Promise.withResolvers<void>();
    let full = true;
    const pusher = makePusher({
      ...replica.deps,
      targets,
      carry,
      publishDown: async (...call) => {
        await held.promise;
        if (full) throw new Fault("lane_full");
        return publishDown(...call);
      },
    });
    const item = { body: utf8("x"), key: "k" };
    // So many follow the second that its rows are written while the first is being published.
    const others = Array.from({ length: 64 }, () => ({ body: utf8("y") }));
    const both = [pusher.push(lane, [item]), pusher.push(lane, [item, ...others])];
    const rows = "SELECT id FROM push_entries WHERE lane = ?";
    await eventually("both wait", async () => (await replica.deps.db.read(rows, [lane.id])).length === 2);
    held.resolve();
    for (const [result] of await Promise.all(both)) expect(result).toBeInstanceOf(Fault);
    expect(await replica.deps.db.read("SELECT id FROM messages WHERE lane = ?", [lane.id])).toEqual([]);
    full = false;
    expect((await pusher.push(lane, [item]))[0]).not.toBeInstanceOf(Fault);
    await pusher[Symbol.asyncDispose]();
  });

  test("an unknown outcome is tried again under the same id before anyone is told", async () => {
    const lane = await laneOf("d5");
    const tokens: string[] = [];
    const pusher = makePusher({
      ...replica.deps,
      targets,
      carry,
      publishDown: (to, bytes, token) => {
        tokens.push(token);
        return tokens.length < 3 ? Promise.reject(new Fault("broker")) : publishDown(to, bytes, token);
      },
    });
    const [result] = await pusher.push(lane, [{ body: utf8("x") }]);
    expect(result).not.toBeInstanceOf(Fault);
    expect(new Set(tokens).size).toBe(1);
    await pusher[Symbol.asyncDispose]();
  });
});
