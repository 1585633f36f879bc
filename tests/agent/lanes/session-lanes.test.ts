import { afterEach, describe, expect, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import type { MessageStream, MuxStream } from "#lib/link";
import { silentLog } from "#lib/log";
import { systemRandom } from "#lib/runtime";
import {
  type DownDown,
  type DownUp,
  decodeUpEntry,
  encodeEntry,
  type UpDown,
  type UpUp,
  type UpWatermark,
} from "#lib/session";
import { AgentStores } from "#support/agent-store";
import { DrivenClock } from "#support/driven-clock";
import { eventually } from "#support/eventually";
import { unsealed } from "#support/unsealed";
import { DownLanes } from "../../../agent/lanes/down-lanes.ts";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";
import { UpLanes } from "../../../agent/lanes/up-lanes.ts";
import type { Lane } from "../../../agent/store/lane-store.ts";
import { encodeUp } from "../../../agent/store/up-letters.ts";

const stores = new AgentStores();
const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await stores[Symbol.asyncDispose]();
});

/** The far end of one message stream, as a script plays it. */
class Script<Out, In> implements Omit<MessageStream<Out, In>, "deliver"> {
  readonly stream = {} as MuxStream; // nobody looks at it here
  readonly sent: Out[] = [];
  #waiting: In[] = [];
  #wake: () => void = () => undefined;
  #ended = false;

  async send(message: Out): Promise<void> {
    this.sent.push(message);
  }

  say(message: In): void {
    this.#waiting.push(message);
    this.#wake();
  }

  async *receive(): AsyncIterableIterator<In> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async nth(index: number): Promise<Out> {
    return await eventually(`message ${index}`, () => this.sent[index], { everyMs: 2 });
  }
}

const clock = () => new DrivenClock();

async function lanes(names: readonly string[], limits: { inboxBytes?: number } = {}) {
  const driven = clock();
  const store = await stores.open(await stores.path(), driven, limits);
  const all: Lane[] = [];
  for (const name of names) all.push(await store.lanes.lane(name));
  return { store, clock: driven, all, lane: all[0] as Lane }; // every test names at least one
}

function entryOf(plugin: string, seq: number, text: string, created = "c1"): DownDown {
  const messages = [{ id: `m-${created}-${seq}`, time: 1, body: utf8(text) }];
  const body = encodeEntry({ v: 1, agent: "agent-1", plugin, messages });
  return { type: "entry", plugin, cursor: { created, seq }, time: 1, body };
}

describe("down", () => {
  function down(driven: DrivenClock) {
    const script = new Script<DownUp, DownDown>();
    const one = new DownLanes({
      stream: script,
      agentId: "agent-1",
      clock: driven,
      random: systemRandom,
      log: silentLog,
      sealOf: ({ name }) => unsealed(name),
    });
    running.push(one);
    return { script, one };
  }

  test("a lane opens with its inbox' cursor; stored is said when the store has it", async () => {
    const { lane, clock: driven } = await lanes(["erp"]);
    const { script, one } = down(driven);
    one.open(lane);
    expect(await script.nth(0)).toEqual({ type: "open", plugin: "erp", cursor: null });
    script.say({ type: "opened", plugin: "erp", created: "c1" });
    script.say(entryOf("erp", 5, "five"));
    expect(await script.nth(1)).toEqual({ type: "stored", plugin: "erp", cursor: { created: "c1", seq: 5 } });
    expect(lane.inbox.cursor).toEqual({ created: "c1", seq: 5 });
    await one.stop();
    const second = down(driven);
    second.one.open(lane);
    expect(await second.script.nth(0)).toMatchObject({ cursor: { created: "c1", seq: 5 } });
    second.script.say({ type: "opened", plugin: "erp", created: "c1" });
    second.script.say(entryOf("erp", 5, "five again"));
    expect(await second.script.nth(1)).toMatchObject({ type: "stored", cursor: { seq: 5 } });
    const entry = await lane.inbox.next();
    expect(entry?.messages.map((message) => fromUtf8(message?.body ?? new Uint8Array()))).toEqual(["five"]);
    expect(await lane.inbox.next()).toBeUndefined();
  });

  test("a refused lane opens again after a back-off; what came of the former opening is confirmed in none", async () => {
    const { lane, clock: driven } = await lanes(["erp"]);
    const { script, one } = down(driven);
    one.open(lane);
    script.say({ type: "refused", plugin: "erp", code: "broker" });
    script.say(entryOf("erp", 1, "late"));
    await eventually(
      "opened again",
      async () => {
        await driven.advance(200);
        return script.sent.length === 2;
      },
      { everyMs: 2 },
    );
    expect(script.sent.map(({ type }) => type)).toEqual(["open", "open"]);
    expect(lane.inbox.cursor).toBeNull();
    script.say({ type: "opened", plugin: "erp", created: "c1" });
    script.say(entryOf("erp", 1, "one"));
    expect(await script.nth(2)).toMatchObject({ type: "stored", cursor: { seq: 1 } });
  });

  test("what can't be forwarded or read takes its place, tells so, and the next one comes", async () => {
    const { lane, clock: driven } = await lanes(["erp"]);
    const { script, one } = down(driven);
    one.open(lane);
    script.say({ type: "opened", plugin: "erp", created: "c1" });
    script.say({ type: "unreadable", plugin: "erp", cursor: { created: "c1", seq: 1 }, code: "too_large" });
    script.say({ type: "entry", plugin: "erp", cursor: { created: "c1", seq: 2 }, time: 1, body: utf8("nonsense") });
    script.say(entryOf("erp", 3, "three"));
    await eventually("stored", () => lane.inbox.cursor?.seq === 3);
    expect(lane.outbox.held().messages).toBe(2);
  });

  test("an inbox without room takes nothing more until it has some; other lanes go on", async () => {
    const { all, clock: driven } = await lanes(["erp", "crm"], { inboxBytes: 2_000 });
    const [erp, crm] = all as [Lane, Lane];
    const { script, one } = down(driven);
    for (const lane of [erp, crm]) {
      one.open(lane);
      script.say({ type: "opened", plugin: lane.name, created: "c1" });
    }
    script.say(entryOf("erp", 1, "x".repeat(1_500)));
    await eventually("first stored", () => erp.inbox.cursor?.seq === 1);
    script.say(entryOf("erp", 2, "y".repeat(1_500)));
    script.say(entryOf("crm", 1, "z"));
    await eventually("the other lane", () => crm.inbox.cursor?.seq === 1);
    await driven.advance(5_000);
    expect(erp.inbox.cursor?.seq).toBe(1);
    await erp.inbox.settle({ n: 1, index: 1, created: "c1", position: 1_024, at: 1 });
    await eventually("second stored", () => erp.inbox.cursor?.seq === 2);
    expect(script.sent.filter(({ type }) => type === "stored").length).toBe(3);
  });
});

describe("up", () => {
  function up(from: Awaited<ReturnType<typeof lanes>>, watermarks: UpWatermark[] = []) {
    const script = new Script<UpUp, UpDown>();
    const renewed: string[] = [];
    const one = new UpLanes({
      sealOf: ({ name }) => unsealed(name),
      stream: script,
      lanes: from.store.lanes,
      watermarks,
      waiting: () => undefined,
      renewed: (name) => renewed.push(name),
      clock: from.clock,
      log: silentLog,
    });
    running.push(one);
    const answer = (message: UpUp) => {
      const { plugin, generation, first, count } = message;
      script.say({ type: "published", plugin, generation, first, count });
    };
    return { script, one, renewed, answer };
  }
  const message = (n: number) => encodeUp({ kind: "data", id: `m${n}`, time: n, body: utf8(`up ${n}`) });

  test("one entry is in flight; what gathers meanwhile goes in the next; rows are gone once the broker has them", async () => {
    const from = await lanes(["erp"]);
    const { script, answer } = up(from);
    await from.lane.outbox.append([message(1)]);
    const first = await script.nth(0);
    expect(first).toMatchObject({ plugin: "erp", generation: 1, first: 1, count: 1 });
    await from.lane.outbox.append([message(2)]);
    await from.lane.outbox.append([message(3)]);
    expect(script.sent.length).toBe(1);
    answer(first);
    const second = await script.nth(1);
    expect(second).toMatchObject({ first: 2, count: 2 });
    expect(decodeUpEntry(second.body).messages.map(({ id }) => id)).toEqual(["m2", "m3"]);
    answer(second);
    await eventually("deleted", () => from.lane.outbox.held().messages === 0);
  });

  test("what the broker refused goes again after the time it named, with the same numbers", async () => {
    const from = await lanes(["erp"]);
    const { script, answer } = up(from);
    await from.lane.outbox.append([message(1)]);
    const { plugin, generation, first } = await script.nth(0);
    script.say({ type: "refused", plugin, generation, first, code: "lane_full", retryAfterMs: 5_000 });
    await from.clock.advance(4_900);
    expect(script.sent.length).toBe(1);
    const again = await eventually(
      "sent again",
      async () => {
        await from.clock.advance(100);
        return script.sent[1];
      },
      { everyMs: 2 },
    );
    expect(again).toMatchObject({ first: 1, count: 1 });
    answer(again);
  });

  test("rows that ingest has are not sent; an outbox behind its watermark is numbered anew, and told", async () => {
    const from = await lanes(["erp", "crm"]);
    const [erp, crm] = from.all as [Lane, Lane];
    await erp.outbox.append([message(1)]);
    await erp.outbox.append([message(2)]);
    await crm.outbox.append([message(3)]);
    const { script, renewed } = up(from, [
      { plugin: "erp", generation: 1, number: 1 },
      { plugin: "crm", generation: 4, number: 17 },
    ]);
    await script.nth(1);
    const sent = script.sent.toSorted((a, b) => a.plugin.localeCompare(b.plugin));
    expect(sent.map(({ plugin, generation, first, count }) => [plugin, generation, first, count])).toEqual([
      ["crm", 5, 1, 1],
      ["erp", 1, 2, 1],
    ]);
    expect(renewed).toEqual(["crm"]);
  });

  test("a lane's status rides along at most 10 times a second, and never passes a letter that was not sent", async () => {
    const from = await lanes(["erp"]);
    const { lane } = from;
    const { script, answer } = up(from);
    const origin = { agent: "agent-1", plugin: "erp", created: "c1", at: 1, now: 1, newId: () => "letter" };
    const { readIncoming } = await import("../../../agent/store/incoming.ts");
    for (const seq of [1, 2, 3]) {
      const bytes = encodeEntry({
        v: 1,
        agent: "agent-1",
        plugin: "erp",
        messages: [{ id: `m${seq}`, time: 1, body: utf8("x") }],
      });
      await lane.inbox.store([readIncoming(bytes, { ...origin, seq })]);
    }
    const stored = await script.nth(0);
    expect(decodeUpEntry(stored.body)).toMatchObject({ messages: [], status: { created: "c1", applied: 0 } });
    const big = (n: number) => encodeUp({ kind: "data", id: `b${n}`, time: 1, body: new Uint8Array(200_000) });
    const dead = encodeUp({ kind: "dead", id: "d", time: 1, position: 2 * 1_024, body: utf8("x") }, "c1");
    await lane.outbox.append([big(1)]);
    await lane.outbox.append([big(2), dead]);
    await lane.inbox.settle({ n: 3, index: 1, created: "c1", position: 3 * 1_024, at: 9 });
    await from.clock.advance(100);
    answer(stored);
    const first = await script.nth(1);
    expect(decodeUpEntry(first.body).status).toMatchObject({ stored: 3 * 1_024, applied: 2 * 1_024 - 1 });
    await from.clock.advance(100);
    answer(first);
    const second = await script.nth(2);
    const withLetter = decodeUpEntry(second.body);
    expect(withLetter.messages.at(-1)?.kind).toBe("dead");
    expect(withLetter.status).toMatchObject({ applied: 3 * 1_024 });
    answer(second);
    await eventually("all deleted", () => lane.outbox.held().messages === 0);
    await from.clock.advance(1_000);
    expect(script.sent.length).toBe(3);
  });

  test("an entry's bytes are those that the schema's own encoder gives", () => {
    const status = { created: "c1", stored: 70_000, applied: 3, at: 1_700_000_000_000, waiting: "no connection" };
    for (const count of [0, 1, 23, 24, 255, 256, 512]) {
      for (const told of [status, undefined]) {
        const items = Array.from({ length: count }, (_, n) => ({
          kind: "data" as const,
          id: `m${n}`,
          time: n,
          body: utf8(`${n}`),
        }));
        const parts = { plugin: "erp", generation: 2, first: 1_000_000 };
        const messages = items.map((item) => encodeUp(item).bytes);
        const entry = { v: 1 as const, ...parts, ...(told === undefined ? {} : { status: told }), messages: items };
        expect(encodeUpEntry({ ...parts, status: told, count, messages })).toEqual(encodeEntry(entry));
      }
    }
  });
});
