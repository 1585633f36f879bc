import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Broker, Cursor, DownLane } from "#lib/broker";
import { fromUtf8, utf8 } from "#lib/bytes";
import { entryBytesMax } from "#lib/limits";
import { collect } from "../support/entry-collector.ts";
import { eventually } from "../support/eventually.ts";
import { expectFault } from "../support/faults.ts";

/** A broker's store or server, made for one test. */
export interface BrokerWorld extends AsyncDisposable {
  /** A connection as another process would have it. The world disposes of it. */
  connect(): Promise<Broker>;
  /** Kills what holds the entries without warning and starts it again on what its disk has. */
  crash(): Promise<void>;
  /** A lane of the world takes this many entries of 64 KiB at least, and is full within `laneFullWithin` of them. */
  readonly laneFullWithin: number;
}

const lane = (plugin = "erp", agent = "agent-1"): DownLane => ({ kind: "down", agent, plugin });
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, index) => String(from + index));

async function publishAll(broker: Broker, to: DownLane, texts: readonly string[]): Promise<Cursor[]> {
  const receipts = [];
  for (const text of texts) receipts.push(await broker.publish(to, utf8(text), `id-${text}`));
  return receipts;
}

/** What every implementation of the broker's port keeps (DESIGN §5). */
export function brokerContract(makeWorld: () => Promise<BrokerWorld>): void {
  let world: BrokerWorld;
  let broker: Broker;
  beforeEach(async () => {
    world = await makeWorld();
    broker = await world.connect();
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  describe("lanes", () => {
    test("entries of a lane come in the order of their publishing, with what was published", async () => {
      const receipts = await publishAll(broker, lane(), numbers(20));
      await broker.publish(lane("other"), utf8("x"), "id-x");
      const reader = await collect(broker, lane());
      await reader.reached(20);
      const later = await publishAll(broker, lane(), numbers(5, 21));
      await reader.reached(25);
      expect(reader.texts()).toEqual(numbers(25));
      expect(reader.entries.map(({ seq }) => seq)).toEqual([...receipts, ...later].map(({ seq }) => seq));
      const [first] = reader.entries;
      expect(first).toMatchObject({ agent: "agent-1", plugin: "erp", id: "id-1", created: reader.source.created });
      expect(Math.abs((first?.timeMs ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    test("a second publish under one id in one lane is a duplicate; another lane may use the id", async () => {
      const first = await broker.publish(lane(), utf8("a"), "same");
      const again = await broker.publish(lane(), utf8("a"), "same");
      const other = await broker.publish(lane("erp", "agent-2"), utf8("b"), "same");
      const third = await broker.publish(lane("mes"), utf8("c"), "same");
      expect(again).toEqual({ ...first, duplicate: true });
      expect([first.duplicate, other.duplicate, third.duplicate]).toEqual([false, false, false]);
      const reader = await collect(broker, lane());
      await broker.publish(lane(), utf8("end"), "end");
      await reader.reached(2);
      expect(reader.texts()).toEqual(["a", "end"]);
    });

    test("an id published again after its confirmation is still a duplicate", async () => {
      const first = await broker.publish(lane(), utf8("a"), "same");
      const reader = await collect(broker, lane(), { confirmAll: true });
      await reader.reached(1);
      await reader.source.close();
      expect(await broker.publish(lane(), utf8("a"), "same")).toMatchObject({ seq: first.seq, duplicate: true });
    });

    test("at most the window is unconfirmed; confirming cumulatively lets more come", async () => {
      await publishAll(broker, lane(), numbers(30));
      const reader = await collect(broker, lane(), { unconfirmedMax: 10 });
      await reader.reached(10);
      await broker.publish(lane("other"), utf8("x"), "x");
      const other = await collect(broker, lane("other"));
      await other.reached(1); // time has passed in which the first could have got more
      expect(reader.entries.length).toBe(10);
      reader.source.confirm(reader.entries[6]?.seq ?? 0);
      await reader.reached(17);
      reader.source.confirm(reader.entries.at(-1)?.seq ?? 0);
      await reader.reached(27);
      expect(reader.texts()).toEqual(numbers(27));
    });

    test("bytes are bounded too, and an entry larger than the bound comes alone", async () => {
      const bodies = [1, 1, 200, 1].map((kib, index) => new Uint8Array(kib * 1024).fill(index));
      for (const [index, body] of bodies.entries()) await broker.publish(lane(), body, `b${index}`);
      const reader = await collect(broker, lane(), { unconfirmedBytesMax: 100 * 1024 });
      await reader.reached(2);
      reader.source.confirm(reader.entries[1]?.seq ?? 0);
      await reader.reached(3);
      expect(reader.entries[2]?.bytes.length).toBe(200 * 1024);
      reader.source.confirm(reader.entries[2]?.seq ?? 0);
      await reader.reached(4);
      expect(reader.entries[3]?.bytes).toEqual(new Uint8Array(1024).fill(3));
    });

    test("what was confirmed does not come again, what was not does, behind the cursor only", async () => {
      await publishAll(broker, lane(), numbers(10));
      const first = await collect(broker, lane());
      await first.reached(10);
      first.source.confirm(first.entries[3]?.seq ?? 0);
      await first.source.close();
      const cursor = first.entries[5];
      const second = await collect(broker, lane(), { cursor });
      await second.reached(4);
      expect(second.texts()).toEqual(numbers(4, 7));
    });

    test("a takeover keeps order with entries unconfirmed, and tells the former reader", async () => {
      const other = await world.connect();
      await publishAll(broker, lane(), numbers(40));
      const former = await collect(broker, lane(), { unconfirmedMax: 20 });
      await former.reached(20);
      former.source.confirm(former.entries[4]?.seq ?? 0);
      await former.reached(25);
      const latter = await collect(other, lane(), { cursor: former.entries[9], confirmAll: true });
      await latter.reached(30);
      expect(latter.texts()).toEqual(numbers(30, 11));
      await eventually("the former reader is told", () => former.ended());
      expect(former.ended()?.code).toBe("displaced");
      await publishAll(broker, lane(), ["last"]);
      await latter.reached(31);
      expect(former.texts()).toEqual(numbers(25));
    });

    test("a reader hears of what another connection publishes", async () => {
      const other = await world.connect();
      const reader = await collect(broker, lane());
      await publishAll(other, lane(), numbers(3));
      await reader.reached(3);
      expect(reader.texts()).toEqual(numbers(3));
    });

    test("a crash directly after confirmations repeats nothing behind the cursor, and loses nothing", async () => {
      await publishAll(broker, lane(), numbers(50));
      const reader = await collect(broker, lane());
      await reader.reached(50);
      const cursor = reader.entries[29];
      reader.source.confirm(cursor?.seq ?? 0);
      await world.crash();
      const after = await world.connect();
      const second = await collect(after, lane(), { cursor });
      await second.reached(20);
      expect(second.texts()).toEqual(numbers(20, 31));
      await publishAll(after, lane(), ["next"]);
      await second.reached(21);
      expect(second.texts().at(-1)).toBe("next");
    });

    test("however often it crashes, a cursor means the same", async () => {
      await publishAll(broker, lane(), numbers(3));
      const reader = await collect(broker, lane());
      await reader.reached(3);
      await reader.source.close();
      for (let crashes = 0; crashes < 3; crashes++) await world.crash();
      const after = await collect(await world.connect(), lane(), { cursor: reader.entries[1] });
      await after.reached(1);
      expect(after.texts()).toEqual(["3"]);
      expect(after.source.created).toBe(reader.source.created);
    });

    test("a cursor of another stream counts from the start; one ahead of the stream too, under another text", async () => {
      await publishAll(broker, lane(), numbers(3));
      const foreign = await collect(broker, lane(), { cursor: { created: "another", seq: 1_000 } });
      await foreign.reached(3);
      const created = foreign.source.created;
      const ahead = await collect(broker, lane(), { cursor: { created, seq: 1_000_000 } });
      await ahead.reached(3);
      expect(ahead.source.created).not.toBe(created);
      const resumed = await collect(broker, lane(), { cursor: ahead.entries[1] });
      await resumed.reached(1);
      expect(resumed.texts()).toEqual(["3"]);
    });

    test("a full lane refuses its own publisher only", async () => {
      const body = new Uint8Array(64 * 1024);
      let stored = 0;
      const fault = await expectFault(async () => {
        for (; stored <= world.laneFullWithin; stored++) await broker.publish(lane(), body, `full-${stored}`);
      }, "lane_full");
      expect(fault.detail.limit).toBe("lane");
      await broker.publish(lane("other"), body, "x");
      const reader = await collect(broker, lane(), { confirmAll: true });
      await reader.reached(stored);
      await eventually("there is room again", async () => {
        await broker.publish(lane(), body, "again");
        return true;
      });
    });

    test("an entry larger than the limit is refused", async () => {
      await expectFault(broker.publish(lane(), new Uint8Array(entryBytesMax + 1), "x"), "too_large");
      await broker.publish(lane(), new Uint8Array(entryBytesMax), "y");
      const reader = await collect(broker, lane());
      await reader.reached(1);
      expect(reader.entries[0]?.bytes.length).toBe(entryBytesMax);
    });

    test("a closed reader gets nothing more and its lane can be opened again", async () => {
      await publishAll(broker, lane(), numbers(2));
      const reader = await collect(broker, lane());
      await reader.reached(2);
      await reader.source.close();
      await reader.source.close();
      await publishAll(broker, lane(), ["3"]);
      const second = await collect(broker, lane());
      await second.reached(3);
      expect(reader.entries.length).toBe(2);
      expect(reader.ended()).toBeUndefined();
    });
  });

  describe("up, events and commands", () => {
    test("all up lanes come to the one reader, each in order", async () => {
      const reader = await collect(broker, { kind: "up" }, { confirmAll: true });
      for (const text of numbers(6)) {
        const agent = Number(text) % 2 === 0 ? "even" : "odd";
        await broker.publish({ kind: "up", agent, plugin: "$node" }, utf8(text), `u${text}`);
      }
      await reader.reached(6);
      const of = (agent: string) =>
        reader.entries.filter((entry) => entry.agent === agent).map((entry) => fromUtf8(entry.bytes));
      expect([of("even"), of("odd")]).toEqual([
        ["2", "4", "6"],
        ["1", "3", "5"],
      ]);
      expect(reader.entries[0]?.plugin).toBe("$node");
    });

    test("a taker-over of up gets what was not confirmed", async () => {
      const first = await collect(broker, { kind: "up" });
      for (const text of numbers(4)) await broker.publish({ kind: "up", agent: "a", plugin: "p" }, utf8(text), text);
      await first.reached(4);
      const second = await collect(await world.connect(), { kind: "up" });
      await second.reached(4);
      await eventually("the former reader is told", () => first.ended());
      second.source.confirm(second.entries[1]?.seq ?? 0);
      await second.source.close();
      const third = await collect(broker, { kind: "up" });
      await third.reached(2);
      expect(third.texts()).toEqual(["3", "4"]);
    });

    test("events stay for every reader, behind its cursor", async () => {
      for (const text of numbers(4)) await broker.publish({ kind: "event", agent: "a", plugin: "p" }, utf8(text), text);
      const first = await collect(broker, { kind: "event" }, { confirmAll: true });
      await first.reached(4);
      await first.source.close();
      const second = await collect(broker, { kind: "event" }, { cursor: first.entries[1] });
      await second.reached(2);
      expect(second.texts()).toEqual(["3", "4"]);
    });

    test("several may read events at once, here and elsewhere", async () => {
      const other = await world.connect();
      const readers = await Promise.all([broker, broker, other].map((via) => collect(via, { kind: "event" })));
      for (const text of numbers(3)) await broker.publish({ kind: "event", agent: "a", plugin: "p" }, utf8(text), text);
      for (const reader of readers) {
        await reader.reached(3);
        expect(reader.texts()).toEqual(numbers(3));
        expect(reader.ended()).toBeUndefined();
      }
    });

    test("commands are kept for who comes later and heard by who is there", async () => {
      const heard: string[] = [];
      broker.listen({ kind: "command", agent: "a" }, (bytes) => heard.push(fromUtf8(bytes)));
      const publisher = await world.connect();
      const first = await publisher.publish({ kind: "command", agent: "a" }, utf8("check"), "c1");
      await publisher.publish({ kind: "command", agent: "b" }, utf8("other"), "c1");
      await publisher.publish({ kind: "command", agent: "a" }, utf8("rotate"), "c2");
      const stored = await broker.commands("a");
      expect(stored.map(({ id, bytes }) => [id, fromUtf8(bytes)])).toEqual([
        ["c1", "check"],
        ["c2", "rotate"],
      ]);
      expect((await broker.commands("a", first.seq)).map(({ id }) => id)).toEqual(["c2"]);
      expect(await broker.commands("nobody")).toEqual([]);
      await eventually("both were heard", () => heard.length === 2);
      expect(heard).toEqual(["check", "rotate"]);
    });
  });

  describe("values", () => {
    const desired = { kind: "desired", agent: "a" } as const;

    test("the newest value is there, for other connections and after a crash", async () => {
      expect(await broker.get(desired)).toBeUndefined();
      const first = await broker.put(desired, utf8("one"));
      const second = await broker.put(desired, utf8("two"));
      expect(second).toBeGreaterThan(first);
      const other = await world.connect();
      const value = await other.get(desired);
      expect([fromUtf8(value?.bytes ?? utf8("")), value?.revision]).toEqual(["two", second]);
      await world.crash();
      const after = await world.connect();
      expect((await after.get(desired))?.revision).toBe(second);
    });

    test("compare-and-set: one of many writers wins", async () => {
      const name = { kind: "agent", agent: "a", slot: 0 } as const;
      const writers = await Promise.allSettled(numbers(8).map((text) => broker.put(name, utf8(text), { expect: 0 })));
      expect(writers.filter(({ status }) => status === "fulfilled").length).toBe(1);
      const held = await broker.get(name);
      const next = await broker.put(name, utf8("next"), { expect: held?.revision ?? 0 });
      await expectFault(broker.put(name, utf8("late"), { expect: held?.revision ?? 0 }), "conflict");
      await expectFault(broker.remove(name, { expect: held?.revision ?? 0 }), "conflict");
      await broker.remove(name, { expect: next });
      expect(await broker.get(name)).toBeUndefined();
      await broker.put(name, utf8("anew"), { expect: 0 });
      expect(fromUtf8((await broker.get(name))?.bytes ?? utf8(""))).toBe("anew");
    });

    test("all values of a kind are listed by name", async () => {
      await broker.put({ kind: "agent", agent: "a", slot: 1 }, utf8("1"));
      await broker.put({ kind: "agent", agent: "b", slot: 0 }, utf8("2"));
      await broker.put({ kind: "agent", agent: "c", slot: 0 }, utf8("3"));
      await broker.remove({ kind: "agent", agent: "c", slot: 0 });
      await broker.put({ kind: "node", replica: "Iabc" }, utf8("x"));
      const agents = await broker.list("agent");
      expect(agents.map(({ name, value }) => [name, fromUtf8(value.bytes)])).toEqual([
        [{ kind: "agent", agent: "a", slot: 1 }, "1"],
        [{ kind: "agent", agent: "b", slot: 0 }, "2"],
      ]);
      expect((await broker.list("node")).map(({ name }) => name)).toEqual([{ kind: "node", replica: "Iabc" }]);
    });

    test("who listens hears writes from other connections, by name or for all agents", async () => {
      const one: string[] = [];
      const all: string[] = [];
      const unlisten = broker.listen(desired, (bytes) => one.push(fromUtf8(bytes)));
      broker.listen({ kind: "desired", agent: "*" }, (bytes) => all.push(fromUtf8(bytes)));
      const other = await world.connect();
      await broker.check(); // the listening has reached the server
      await other.put(desired, utf8("a"));
      await other.put({ kind: "desired", agent: "b" }, utf8("b"));
      await eventually("both were heard", () => all.length === 2);
      expect([one, all]).toEqual([["a"], ["a", "b"]]);
      unlisten();
      unlisten();
      await other.put(desired, utf8("c"));
      await eventually("the third was heard", () => all.length === 3);
      expect(one).toEqual(["a"]);
    });

    test("plain messages reach listeners of every connection", async () => {
      const heard: string[] = [];
      const other = await world.connect();
      other.listen({ kind: "session", agent: "a" }, (bytes) => heard.push(fromUtf8(bytes)));
      broker.listen({ kind: "session", agent: "*" }, (bytes, about) => heard.push(`${about}*${fromUtf8(bytes)}`));
      await other.check();
      await broker.check();
      broker.send({ kind: "session", agent: "a" }, utf8("m"));
      broker.send({ kind: "gateways" }, utf8("nobody listens"));
      await eventually("both heard", () => heard.length === 2);
      expect(heard.sort()).toEqual(["a*m", "m"]);
    });
  });

  describe("leases", () => {
    test("one holder at a time; release frees it; numbers count up", async () => {
      const other = await world.connect();
      const first = await broker.acquire("ingest", "one", 10_000);
      expect(await other.acquire("ingest", "two", 10_000)).toBeUndefined();
      expect(await first?.renew()).toBe(true);
      await first?.release();
      const second = await other.acquire("ingest", "two", 10_000);
      expect(second?.number ?? 0).toBeGreaterThan(first?.number ?? 0);
      expect(await first?.renew()).toBe(false);
    });

    test("a term that has passed can be taken, and the former holder learns it", async () => {
      const first = await broker.acquire("ingest", "one", 50);
      const other = await world.connect();
      const second = await eventually("the term passes", () => other.acquire("ingest", "two", 10_000));
      expect(second.number).toBeGreaterThan(first?.number ?? 0);
      expect(await first?.renew()).toBe(false);
      expect(await second.renew()).toBe(true);
    });

    test("of many who ask at once one gets it", async () => {
      const all = await Promise.all(numbers(10).map((holder) => broker.acquire("x", holder, 10_000)));
      expect(all.filter((lease) => lease !== undefined).length).toBe(1);
    });
  });

  describe("closing", () => {
    test("a disposed broker refuses, tells its readers, and may be disposed twice", async () => {
      const other = await world.connect();
      const reader = await collect(other, lane());
      await other[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      expect(reader.ended()?.code).toBe("closed");
      await expectFault(other.publish(lane(), utf8("x"), "x"), "closed");
      await expectFault(other.open(lane(), { onEntry: () => undefined, onClosed: () => undefined }), "closed");
    });

    test("it is ready and tells how full it is", async () => {
      await broker.check();
      await broker.publish(lane(), new Uint8Array(10_000), "x");
      const usage = await broker.usage();
      expect(usage.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThanOrEqual(10_000);
      expect(usage.every(({ bytesMax }) => bytesMax > 0)).toBe(true);
      expect(usage.filter(({ refuses }) => !refuses).map(({ name }) => name.toUpperCase().slice(0, 5))).toEqual([
        "EVENT",
      ]);
    });
  });
}
