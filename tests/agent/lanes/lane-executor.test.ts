import { afterEach, describe, expect, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { laneAgeMaxMs } from "#lib/limits";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry, encodeEntry, type UpMessage } from "#lib/session";
import { AgentStores } from "#support/agent-store";
import { DrivenClock } from "#support/driven-clock";
import { eventually } from "#support/eventually";
import { LaneExecutor } from "../../../agent/lanes/lane-executor.ts";
import { settleHeld } from "../../../agent/lanes/settle-held.ts";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";
import type { DownDelivery, Plugin } from "../../../agent/plugins/plugin.ts";
import { readIncoming } from "../../../agent/store/incoming.ts";
import type { Lane } from "../../../agent/store/lane-store.ts";
import { unsealed } from "../../support/unsealed.ts";

const stores = new AgentStores();
let executors: LaneExecutor[] = [];
afterEach(async () => {
  for (const executor of executors) await executor[Symbol.asyncDispose]();
  executors = [];
  await stores[Symbol.asyncDispose]();
});

type Deliver = (message: DownDelivery & { text: string }, signal: AbortSignal) => Promise<void>;

/** A plugin whose calls are noted, and answered by `deliver`. */
function plugin(deliver: Deliver, more: { repeatable?: Plugin["repeatable"]; check?: () => Promise<void> } = {}) {
  const calls: string[] = [];
  return {
    calls,
    repeatable: more.repeatable ?? true,
    check: more.check ?? (async () => undefined),
    deliver: async (message: DownDelivery, signal: AbortSignal) => {
      const text = fromUtf8(message.body);
      calls.push(text);
      await deliver({ ...message, text }, signal);
    },
  };
}

let seq = 0;
async function put(lane: Lane, now: number, ...texts: string[]): Promise<void> {
  const messages = texts.map((text) => ({
    id: `id-${text.replace(/[^a-z0-9]/g, "-").slice(0, 30)}`,
    time: now,
    body: utf8(text),
  }));
  const body = encodeEntry({ v: 1, agent: "a", plugin: lane.name, messages });
  const origin = { agent: "a", plugin: lane.name, created: "c", seq: ++seq, at: now, now, newId: () => "x" };
  await lane.inbox.store([readIncoming(body, origin)]);
}

/** All up messages that wait. */
async function ups(lane: Lane): Promise<UpMessage[]> {
  const batch = await lane.outbox.batch(0);
  if (batch === undefined) return [];
  const { generation, first, count, body } = batch;
  return decodeUpEntry(
    encodeUpEntry({ plugin: lane.name, generation, first, count, status: undefined, messages: body }),
  ).messages;
}

const seal = await unsealed("p");
type Settings = { ageMaxMs: number; onUnknown: "hold" | "retry" };
function run(
  lane: Lane,
  one: Pick<Plugin, "deliver" | "check" | "repeatable">,
  clock: DrivenClock | typeof systemClock,
  settings: Partial<Settings> = {},
): LaneExecutor {
  const executor = new LaneExecutor({
    lane,
    plugin: one,
    settings: { ageMaxMs: laneAgeMaxMs, onUnknown: "hold", ...settings },
    seal,
    clock,
    random: systemRandom,
    log: silentLog,
  });
  executors.push(executor);
  return executor;
}

/** Moves the clock until the condition holds: the database answers in real time. */
async function until(clock: DrivenClock, what: string, probe: () => boolean | Promise<boolean>, stepMs = 1_000) {
  await eventually(
    what,
    async () => {
      await clock.advance(stepMs);
      return await probe();
    },
    { everyMs: 2 },
  );
}

async function open(path?: string, clock = new DrivenClock()) {
  const store = await stores.open(path ?? (await stores.path()), clock);
  return { store, clock, lane: await store.lanes.lane("erp") };
}

const settledThrough = (lane: Lane) => () => lane.inbox.settled.position === lane.inbox.storedPosition;

describe("a lane", () => {
  test("hands messages over in order, and remembers how far it came", async () => {
    const path = await stores.path();
    const { store, clock, lane } = await open(path);
    const one = plugin(async () => undefined);
    run(lane, one, clock);
    await put(lane, clock.now(), "1", "2", "3");
    await put(lane, clock.now(), "4");
    await until(clock, "settled", settledThrough(lane));
    expect(one.calls).toEqual(["1", "2", "3", "4"]);
    expect(lane.inbox.held()).toMatchObject({ messages: 0, bytes: 0 });
    await executors.pop()?.[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    const again = await open(path);
    const two = plugin(async () => undefined);
    run(again.lane, two, again.clock);
    await put(again.lane, again.clock.now(), "5");
    await until(again.clock, "settled", settledThrough(again.lane));
    expect(two.calls).toEqual(["5"]);
  });

  test("waits while its system is away, spends no try, goes on in order, and says why", async () => {
    const { clock, lane } = await open();
    let up = false;
    const one = plugin(async () => {
      if (!up) throw new Fault("system_unavailable", "no connection to the system");
    });
    const executor = run(lane, one, clock);
    await put(lane, clock.now(), "1", "2");
    await until(clock, "tried often", () => one.calls.length > 20, 60_000);
    expect(executor.waiting).toBe("no connection to the system");
    expect(new Set(one.calls)).toEqual(new Set(["1"]));
    up = true;
    await until(clock, "settled", settledThrough(lane), 60_000);
    expect(executor.waiting).toBeUndefined();
    expect(one.calls.slice(-2)).toEqual(["1", "2"]);
    expect(await ups(lane)).toEqual([]);
  });

  test("a time that the system named replaces the back-off", async () => {
    const { clock, lane } = await open();
    const one = plugin(async () => {
      throw new Fault("system_unavailable", "come later", { detail: { retryAfterMs: 90_000 } });
    });
    run(lane, one, clock);
    await put(lane, clock.now(), "1");
    await until(clock, "called", () => one.calls.length === 1, 1);
    await clock.advance(89_000);
    expect(one.calls.length).toBe(1);
    await until(clock, "called again", () => one.calls.length === 2);
  });

  test("gives a refused message up after 5 tries, whole, and goes on", async () => {
    const { clock, lane } = await open();
    const one = plugin(async ({ text }) => {
      if (text === "bad") throw new Fault("refused", "the system answered 422");
    });
    run(lane, one, clock);
    await put(lane, clock.now(), "good", "bad", "better");
    await until(clock, "settled", settledThrough(lane));
    expect(one.calls).toEqual(["good", "bad", "bad", "bad", "bad", "bad", "better"]);
    const [letter, ...more] = await ups(lane);
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ kind: "dead", about: "id-bad", code: "refused", tries: 5 });
    expect(fromUtf8(letter?.body ?? new Uint8Array())).toBe("bad");
    expect(letter?.position).toBe(seq * 1_024 + 1);
  });

  test("tries are of one message: the next begins with none", async () => {
    for (const repeatable of [true, false]) {
      const { clock, lane } = await open();
      let refusals = 3;
      const one = plugin(
        async ({ text }) => {
          if (text === "bad" || refusals-- > 0) throw new Fault("refused", "the system answered 422");
        },
        { repeatable },
      );
      run(lane, one, clock);
      await put(lane, clock.now(), "slow", "bad", "good");
      await until(clock, "settled", settledThrough(lane));
      expect(one.calls).toEqual([...Array(4).fill("slow"), ...Array(5).fill("bad"), "good"]);
    }
  });

  test("a 500 spends a try only when a probe of the same system succeeds", async () => {
    const { clock, lane } = await open();
    let well = false;
    const one = plugin(
      async ({ text }) => {
        if (text === "bad") throw new Fault("plugin_failed", "the system answered 500");
      },
      {
        check: async () => {
          if (!well) throw new Fault("system_unavailable");
        },
      },
    );
    run(lane, one, clock);
    await put(lane, clock.now(), "bad", "next");
    await until(clock, "tried often", () => one.calls.length > 10, 60_000);
    expect(await ups(lane)).toEqual([]);
    well = true;
    await until(clock, "settled", settledThrough(lane), 60_000);
    expect((await ups(lane)).map(({ kind, tries }) => [kind, tries])).toEqual([["dead", 5]]);
    expect(one.calls.at(-1)).toBe("next");
  });

  test("a message past the lane's age is dead while its system is away, not before it was tried", async () => {
    const { clock, lane } = await open();
    let up = false;
    const one = plugin(async () => {
      if (!up) throw new Fault("system_unavailable", "down");
    });
    run(lane, one, clock, { ageMaxMs: 60_000 });
    await put(lane, clock.now() - 120_000, "old");
    await put(lane, clock.now() + 3_600_000, "young");
    await until(clock, "dead", async () => (await ups(lane)).length === 1, 10);
    expect((await ups(lane))[0]).toMatchObject({ kind: "dead", about: "id-old", code: "system_unavailable" });
    up = true;
    await put(lane, clock.now() - 120_000, "old but lucky");
    await until(clock, "settled", settledThrough(lane));
    expect(one.calls.at(-1)).toBe("old but lucky");
    expect((await ups(lane)).length).toBe(1);
  });

  test("passes the id on as key, that of the first one for a replay", async () => {
    const { clock, lane } = await open();
    const ids: string[] = [];
    run(
      lane,
      plugin(async ({ id }) => void ids.push(id)),
      clock,
    );
    const messages = [
      { id: "one", time: clock.now(), body: utf8("1") },
      { id: "two", time: clock.now(), replays: "first", body: utf8("2") },
    ];
    const body = encodeEntry({ v: 1, agent: "a", plugin: "erp", messages });
    const origin = { agent: "a", plugin: "erp", created: "c", seq: ++seq, at: 1, now: 1, newId: () => "x" };
    await lane.inbox.store([readIncoming(body, origin)]);
    await until(clock, "settled", settledThrough(lane));
    expect(ids).toEqual(["one", "first"]);
  });

  test("where nothing can be delivered, every message is dead at once", async () => {
    const { clock, lane } = await open();
    run(lane, { repeatable: true, check: async () => undefined }, clock);
    await put(lane, clock.now(), "1");
    await until(clock, "settled", settledThrough(lane));
    expect((await ups(lane))[0]).toMatchObject({ kind: "dead", code: "refused", tries: 0 });
  });
});

describe("an outcome that can't be known", () => {
  test("a plugin that knows its last message alone is called when those before it are marked on disk", async () => {
    const store = await stores.open(await stores.path(), systemClock);
    const lane = await store.lanes.lane("orders");
    const clock = new DrivenClock(systemClock.now()); // stands still: no mark is written by its time
    await put(lane, clock.now(), "a", "b", "c");
    const marked: number[] = [];
    const one = plugin(async () => void marked.push(lane.inbox.settled.index), { repeatable: "last" });
    run(lane, one, clock);
    await eventually("all are delivered", () => one.calls.length === 3);
    expect(marked).toEqual([0, 1, 2]);
  });

  /** A call that is under way when Mercury ends: what a kill leaves behind is what lies in the store then. */
  async function killedInCall(settings: Partial<Settings>, repeatable: boolean) {
    const path = await stores.path();
    const first = await open(path);
    const began = Promise.withResolvers<void>();
    const one = plugin(
      async (_, signal) => {
        began.resolve();
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
      { repeatable },
    );
    const executor = run(first.lane, one, first.clock, settings);
    await put(first.lane, first.clock.now(), "1", "2");
    await began.promise;
    const ended = executor[Symbol.asyncDispose]();
    await first.clock.advance(10_000);
    await ended;
    await first.store[Symbol.asyncDispose]();
    const second = await open(path);
    const two = plugin(async () => undefined, { repeatable });
    const executor2 = run(second.lane, two, second.clock, settings);
    await until(second.clock, "settled", settledThrough(second.lane));
    return { ...second, calls: two.calls, executor: executor2 };
  }

  test("of a system that keeps no keys waits for a person; the lane goes on", async () => {
    const { calls, lane } = await killedInCall({}, false);
    expect(calls).toEqual(["2"]);
    expect((await ups(lane)).map(({ kind, about }) => [kind, about])).toEqual([["unknown", "id-1"]]);
    expect(await lane.held.count()).toBe(1);
  });

  test("is tried again where a repeat is harmless, or the configuration says so", async () => {
    expect((await killedInCall({}, true)).calls).toEqual(["1", "2"]);
    expect((await killedInCall({ onUnknown: "retry" }, false)).calls).toEqual(["1", "2"]);
  });

  test("a person's word: applied and dead settle it, retry calls it again", async () => {
    const { lane, clock, calls, executor } = await killedInCall({}, false);
    await settleHeld({ lane, decision: "retry", message: "id-1", clock, random: systemRandom, executor });
    await until(clock, "called again", async () => (await lane.held.count()) === 0);
    expect(calls).toEqual(["2", "1"]);
    expect((await ups(lane)).map(({ kind, code }) => [kind, code])).toEqual([
      ["unknown", "outcome_unknown"],
      ["settled", "applied"],
    ]);
    const other = await killedInCall({}, false);
    await settleHeld({ ...other, decision: "dead", message: "id-1", random: systemRandom });
    expect((await ups(other.lane)).at(-1)).toMatchObject({ kind: "settled", code: "dead", about: "id-1" });
    expect(await other.lane.held.count()).toBe(0);
  });

  test("is of one message only: those that follow at once are handed over, and nothing is open after a stop", async () => {
    const path = await stores.path();
    const { store, clock, lane } = await open(path);
    const one = plugin(async () => undefined, { repeatable: false });
    const executor = run(lane, one, clock);
    await put(lane, clock.now(), "1", "2", "3");
    await put(lane, clock.now(), "4", "5");
    await until(clock, "called", () => one.calls.length >= 4, 1);
    await executor[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    const again = await open(path);
    const two = plugin(async () => undefined, { repeatable: false });
    run(again.lane, two, again.clock);
    await put(again.lane, again.clock.now(), "6");
    await until(again.clock, "settled", settledThrough(again.lane));
    expect([...one.calls, ...two.calls]).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(await ups(again.lane)).toEqual([]);
  });

  test("that the plugin itself tells is held too, or tried again where that is harmless", async () => {
    for (const [repeatable, kinds] of [
      [false, ["unknown"]],
      [true, []],
    ] as const) {
      const { clock, lane } = await open();
      let answers = 0;
      const one = plugin(
        async ({ text }) => {
          if (text === "1" && answers++ === 0) throw new Fault("outcome_unknown", "the connection broke");
        },
        { repeatable },
      );
      run(lane, one, clock);
      await put(lane, clock.now(), "1", "2");
      await until(clock, "settled", settledThrough(lane));
      expect((await ups(lane)).map(({ kind }) => kind)).toEqual([...kinds]);
      expect(one.calls).toEqual(repeatable ? ["1", "1", "2"] : ["1", "2"]);
    }
  });
});

test("a lane whose letters find no room waits until the outbox has some", async () => {
  const clock = new DrivenClock();
  const store = await stores.open(await stores.path(), clock, { outboxBytes: 1_000 });
  const lane = await store.lanes.lane("erp");
  const { encodeUp } = await import("../../../agent/store/up-letters.ts");
  await lane.outbox.append([encodeUp({ kind: "data", id: "x", time: 1, body: new Uint8Array(850) })]);
  const executor = run(lane, { repeatable: true, check: async () => undefined }, clock);
  await put(lane, clock.now(), "no room for this letter: ".padEnd(200, "x"));
  await until(clock, "waiting", () => executor.waiting === "the outbox is full");
  const batch = await lane.outbox.batch(0);
  await lane.outbox.acknowledged(batch?.lastK ?? 0);
  await until(clock, "settled", settledThrough(lane));
  expect((await ups(lane)).map(({ kind }) => kind)).toEqual(["dead"]);
});

test("keeps pace with a load and leaves the event loop its turns", async () => {
  const store = await stores.open(await stores.path(), systemClock);
  const lane = await store.lanes.lane("erp");
  let applied = 0;
  const began = performance.now();
  run(lane, { repeatable: true, check: async () => undefined, deliver: async () => void applied++ }, systemClock);
  const messages = Array.from({ length: 250 }, () => ({ time: Date.now(), body: new Uint8Array(1_024) }));
  for (let entry = 0; entry < 20; entry++) {
    const body = encodeEntry({
      v: 1,
      agent: "a",
      plugin: "erp",
      messages: messages.map((message) => ({ ...message, id: systemRandom(16).toHex() })),
    });
    const origin = { agent: "a", plugin: "erp", created: "c", seq: ++seq, at: 1, now: 1, newId: () => "x" };
    await lane.inbox.store([readIncoming(body, origin)]);
  }
  await eventually("settled", settledThrough(lane));
  expect(applied).toBe(5_000);
  if (process.env.SHOW_RATE) console.log(`${Math.round(5_000 / ((performance.now() - began) / 1_000))} messages/s`);
});
