import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CborValue, decodeCbor, encodeCbor, fromUtf8, utf8 } from "#lib/bytes";
import { chooseSuite } from "#lib/crypto";
import { systemRandom } from "#lib/runtime";
import { encodeEntry } from "#lib/session";
import { expectFault } from "#support/faults";
import { readIncoming } from "../../../agent/store/incoming.ts";
import type { Lane } from "../../../agent/store/lane-store.ts";
import { openStore, type Store } from "../../../agent/store/open-store.ts";
import { encodeUp } from "../../../agent/store/up-letters.ts";

const now = 1_700_000_000_000;
const suite = await chooseSuite();
let opened: AsyncDisposable[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const one of opened) await one[Symbol.asyncDispose]();
  opened = [];
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "mercury-store-"));
  folders.push(made);
  return made;
}

async function open(
  path: string,
  more: { inboxBytes?: number; outboxBytes?: number; key?: string } = {},
): Promise<Store> {
  const { key = "a key for the tests", ...limits } = more;
  const store = await openStore({
    path,
    encryptionKey: key,
    suite,
    random: systemRandom,
    clock: { now: () => now },
    ...limits,
  });
  opened.push(store);
  return store;
}

const id = (n: number) => n.toString(16).padStart(32, "0");

let letters = 0;
function entry(seq: number, messages: readonly { id: string; text: string }[], created = "c1") {
  const body = encodeEntry({
    v: 1,
    agent: "agent-1",
    plugin: "erp",
    messages: messages.map((message) => ({ id: message.id, time: now, body: utf8(message.text) })),
  });
  return incoming(body, seq, created);
}

function incoming(body: Uint8Array<ArrayBuffer>, seq: number, created = "c1") {
  return readIncoming(body, {
    agent: "agent-1",
    plugin: "erp",
    created,
    seq,
    at: now,
    now,
    newId: () => `letter-${letters++}`,
  });
}

async function texts(lane: Lane): Promise<string[]> {
  const all: string[] = [];
  for (let next = await lane.inbox.next(); next !== undefined; next = await lane.inbox.next()) {
    for (const message of next.messages.slice(lane.inbox.startIn(next)))
      if (message !== null) all.push(fromUtf8(message.body));
  }
  return all;
}

const up = (n: number, text = `up ${n}`) => encodeUp({ kind: "data", id: id(n), time: now, body: utf8(text) });

async function batches(lane: Lane): Promise<{ generation: number; first: number; texts: string[] }[]> {
  const all = [];
  let after = 0;
  for (;;) {
    const batch = await lane.outbox.batch(after);
    if (batch === undefined) return all;
    after = batch.lastK;
    const bodies = batch.body.flatMap((bytes) => decodeSequence(bytes));
    all.push({ generation: batch.generation, first: batch.first, texts: bodies });
  }
}

/** Bodies of CBOR maps that lie one behind the other: wrapped into an array to read them. */
function decodeSequence(bytes: Uint8Array): string[] {
  for (let count = 1; ; count++) {
    if (count > 512) throw new Error("no sequence");
    const header = encodeCbor(Array.from({ length: count }, () => null)).slice(0, -count);
    try {
      const items = decodeCbor(Uint8Array.from([...header, ...bytes])) as { body: Uint8Array }[];
      return items.map(({ body }) => fromUtf8(body));
    } catch {
      // not this many
    }
  }
}

describe("inbox", () => {
  test("hands entries out in order, from memory and after a reopening, and remembers its cursor", async () => {
    const path = join(await folder(), "mercury.db");
    const store = await open(path);
    const lane = await store.lanes.lane("erp");
    expect(lane.inbox.cursor).toBeNull();
    await lane.inbox.store([entry(7, [{ id: id(1), text: "one" }]), entry(9, [{ id: id(2), text: "two" }])]);
    expect(await texts(lane)).toEqual(["one", "two"]);
    await store[Symbol.asyncDispose]();
    const again = await (await open(path)).lanes.lane("erp");
    expect(again.inbox.cursor).toEqual({ created: "c1", seq: 9 });
    expect(again.inbox.held().messages).toBe(2);
    expect(await texts(again)).toEqual(["one", "two"]);
  });

  test("drops what stands at or below the cursor, and takes a new stream from its start", async () => {
    const lane = await (await open(join(await folder(), "mercury.db"))).lanes.lane("erp");
    await lane.inbox.store([entry(7, [{ id: id(1), text: "one" }])]);
    await lane.inbox.store([entry(7, [{ id: id(3), text: "late" }]), entry(6, [{ id: id(4), text: "later" }])]);
    await lane.inbox.store([entry(1, [{ id: id(2), text: "two" }], "c2")]);
    expect(await texts(lane)).toEqual(["one", "two"]);
    expect(lane.inbox.cursor).toEqual({ created: "c2", seq: 1 });
  });

  test("skips an id that was stored before, in the same entry, an earlier one, and long after it was settled", async () => {
    const path = join(await folder(), "mercury.db");
    const store = await open(path);
    const lane = await store.lanes.lane("erp");
    await lane.inbox.store([
      entry(1, [
        { id: id(1), text: "one" },
        { id: id(1), text: "one again" },
      ]),
    ]);
    expect(await texts(lane)).toEqual(["one"]);
    await lane.inbox.settle({ n: 1, index: 2, created: "c1", position: 1_025, at: now });
    expect(lane.inbox.held()).toMatchObject({ bytes: 0, messages: 0 });
    await store[Symbol.asyncDispose]();
    const again = await (await open(path)).lanes.lane("erp");
    await again.inbox.store([
      entry(2, [
        { id: id(1), text: "one a third time" },
        { id: id(2), text: "two" },
      ]),
    ]);
    expect(await texts(again)).toEqual(["two"]);
  });

  test("a reopening goes on behind what was settled, inside an entry too", async () => {
    const path = join(await folder(), "mercury.db");
    const store = await open(path);
    const lane = await store.lanes.lane("erp");
    const three = [1, 2, 3].map((n) => ({ id: id(n), text: `m${n}` }));
    await lane.inbox.store([entry(5, three), entry(6, [{ id: id(4), text: "m4" }])]);
    await texts(lane);
    await lane.inbox.settle(
      { n: 1, index: 2, created: "c1", position: 5 * 1_024 + 1, at: now },
      { calling: true, tries: 2 },
    );
    await store[Symbol.asyncDispose]();
    const again = await (await open(path)).lanes.lane("erp");
    expect(again.inbox.left).toEqual({ calling: true, tries: 2 });
    expect(await texts(again)).toEqual(["m3", "m4"]);
  });

  test("what is no entry, names another, or holds a bad message becomes a dead letter; its neighbours are handed out", async () => {
    const lane = await (await open(join(await folder(), "mercury.db"))).lanes.lane("erp");
    const good = { id: id(1), time: now, body: utf8("good") };
    const wrap = (value: CborValue) => encodeCbor(value);
    await lane.inbox.store([
      incoming(utf8("no CBOR"), 1),
      incoming(wrap({ v: 1, agent: "agent-2", plugin: "erp", messages: [good] }), 2),
      incoming(wrap({ v: 1, agent: "agent-1", plugin: "crm", messages: [good] }), 3),
      incoming(wrap({ v: 2, agent: "agent-1", plugin: "erp", messages: [good] }), 4),
      incoming(wrap({ v: 1, agent: "agent-1", plugin: "erp", messages: [{ id: "x y", body: 1 }, good] }), 5),
    ]);
    expect(await texts(lane)).toEqual(["good"]);
    const [row] = await lane.outbox.batch(0).then((batch) => [batch?.count]);
    expect(row).toBe(5);
    expect(lane.inbox.cursor?.seq).toBe(5);
  });

  test("a lane past its quota says so, one that is empty takes a single large one", async () => {
    const store = await open(join(await folder(), "mercury.db"), { inboxBytes: 1_000 });
    const lane = await store.lanes.lane("erp");
    expect(lane.inbox.fits(5_000)).toBe(true);
    await lane.inbox.store([entry(1, [{ id: id(1), text: "x".repeat(900) }])]);
    expect(lane.inbox.fits(200)).toBe(false);
  });
});

describe("outbox", () => {
  test("numbers without a gap, joins rows into entries, keeps what is not acknowledged over a reopening", async () => {
    const path = join(await folder(), "mercury.db");
    const store = await open(path);
    const lane = await store.lanes.lane("erp");
    await Promise.all([1, 2, 3].map((n) => lane.outbox.append([up(n)])));
    await lane.outbox.append([up(4), up(5)]);
    const [first] = await batches(lane);
    expect(first).toEqual({ generation: 1, first: 1, texts: ["up 1", "up 2", "up 3", "up 4", "up 5"] });
    const batch = await lane.outbox.batch(0);
    await lane.outbox.acknowledged((batch?.lastK ?? 0) - 1);
    expect(lane.outbox.held().messages).toBe(2);
    await store[Symbol.asyncDispose]();
    const again = await (await open(path)).lanes.lane("erp");
    await again.outbox.append([up(6)]);
    expect(await batches(again)).toEqual([{ generation: 1, first: 4, texts: ["up 4", "up 5", "up 6"] }]);
  });

  test("an append whose other half fails leaves neither a row nor a gap", async () => {
    const store = await open(join(await folder(), "mercury.db"));
    const lane = await store.lanes.lane("erp");
    const bad = { sql: "UPDATE lane SET tries = 1 WHERE id = -1", expect: 1 };
    const done = await Promise.allSettled([
      lane.outbox.append([up(1)]),
      lane.outbox.append([up(2)], [bad]),
      lane.outbox.append([up(3)], [lane.state.set("cursor", "3", now)]),
    ]);
    expect(done.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await batches(lane)).toEqual([{ generation: 1, first: 1, texts: ["up 1", "up 3"] }]);
    expect(await lane.state.get("cursor")).toBe("3");
    expect(lane.outbox.held().messages).toBe(2);
  });

  test("refuses what does not fit, and takes it when there is room again", async () => {
    const store = await open(join(await folder(), "mercury.db"), { outboxBytes: 1_000 });
    const lane = await store.lanes.lane("erp");
    await lane.outbox.append([up(1, "x".repeat(800))]);
    await expectFault(lane.outbox.append([up(2, "y".repeat(800))]), "lane_full");
    const batch = await lane.outbox.batch(0);
    await lane.outbox.acknowledged(batch?.lastK ?? 0);
    await lane.outbox.append([up(2, "y".repeat(800))]);
    expect(lane.outbox.held().messages).toBe(1);
  });

  test("at or ahead of the watermark it drops what ingest has; behind it everything is numbered anew", async () => {
    const path = join(await folder(), "mercury.db");
    const store = await open(path);
    const lane = await store.lanes.lane("erp");
    await lane.outbox.append([up(1)]);
    await lane.outbox.append([up(2), up(3)]);
    await lane.outbox.append([up(4)]);
    expect(await lane.outbox.reconcile({ plugin: "erp", generation: 1, number: 3 })).toBe(false);
    expect((await batches(lane))[0]).toMatchObject({ generation: 1, first: 4 });
    expect(await lane.outbox.reconcile({ plugin: "erp", generation: 1, number: 9 })).toBe(true);
    await lane.outbox.append([up(5)]);
    expect(await batches(lane)).toEqual([{ generation: 2, first: 1, texts: ["up 4", "up 5"] }]);
    await store[Symbol.asyncDispose]();
    const again = await (await open(path)).lanes.lane("erp");
    expect(again.outbox.generation).toBe(2);
    expect(await again.outbox.reconcile({ plugin: "erp", generation: 2, number: 1 })).toBe(false);
    await again.outbox.append([up(6)]);
    expect((await batches(again)).flatMap((one) => one.texts)).toEqual(["up 5", "up 6"]);
  });

  test("knows the first dead letter that was not sent yet", async () => {
    const lane = await (await open(join(await folder(), "mercury.db"))).lanes.lane("erp");
    await lane.outbox.append([up(1)]);
    const dead = { kind: "dead" as const, id: id(2), time: now, position: 77, body: utf8("dead") };
    await lane.outbox.append([encodeUp(dead, "c1")]);
    expect(await lane.outbox.letterAfter(0, "c1")).toBe(77);
    const batch = await lane.outbox.batch(0);
    expect(await lane.outbox.letterAfter(batch?.lastK ?? 0, "c1")).toBeUndefined();
  });
});

test("a wrong key is told as such", async () => {
  const path = join(await folder(), "mercury.db");
  await (await open(path))[Symbol.asyncDispose]();
  await expectFault(open(path, { key: "another key, of enough characters" }), "database_key");
});
