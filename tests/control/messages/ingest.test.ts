import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { decodeCbor, fromUtf8, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { silentLog } from "#lib/log";
import {
  addAgent,
  addCustomer,
  addPlugin,
  DataSide,
  filePlugin,
  type Replica,
  readDown,
  sendUp,
} from "#support/data-side";
import { eventually } from "#support/eventually";
import { makeLanes } from "../../../control/lanes/index.ts";
import { type Lease, makeLeases } from "../../../control/leases/index.ts";
import { type IngestDeps, ingest, noMessageMetrics } from "../../../control/messages/index.ts";

setDefaultTimeout(30_000);

let side: DataSide;
let replica: Replica;

interface Item {
  readonly cursor: string;
  readonly id: string;
  readonly body?: string;
  readonly bodyBase64?: string;
}

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
  await addCustomer(replica, "other");
});
afterAll(() => side[Symbol.asyncDispose]());

async function newAgent(id: string, wanted: unknown = filePlugin) {
  await addAgent(replica, "acme", id);
  await addPlugin(replica, id, "orders", wanted);
}

async function page(query: string, key = "platform") {
  const answer = await replica.call("GET", `/received?${query}`, undefined, { authorization: `Bearer ${key}` });
  return (await answer.json()) as { items: Item[]; next: string };
}

async function quarantined(agentId: string) {
  const answer = await replica.call("GET", `/quarantine?agentId=${agentId}`);
  return ((await answer.json()) as { items: { id: number; code: string; kind: string; reason: string }[] }).items;
}

const up = (agent: string, first: number, bodies: readonly string[], generation = 1) =>
  sendUp(replica, agent, {
    plugin: "orders",
    generation,
    first,
    messages: bodies.map((body) => ({ body: utf8(body) })),
  });

describe("ingest", () => {
  test("what came up is read in its order, by cursor, by those who may", async () => {
    await newAgent("b1");
    await up("b1", 1, ["1", "2", "3"]);
    await up("b1", 4, ["4"]);
    const first = await page("agentId=b1&limit=2&wait=10");
    const items = [...first.items];
    let { next } = first;
    while (items.length < 4) {
      const more = await page(`agentId=b1&limit=2&wait=10&after=${next}`);
      items.push(...more.items);
      next = more.next;
    }
    expect(items.map(({ body }) => body)).toEqual(["1", "2", "3", "4"]);
    expect((await page(`agentId=b1&after=${items[1]?.cursor}`)).items.map(({ body }) => body)).toEqual(["3", "4"]);
    expect((await page("agentId=b1", "acme")).items).toHaveLength(4);
    expect((await page("agentId=b1", "other")).items).toEqual([]);
    expect(await replica.messaging.upWatermarks("b1")).toEqual([{ plugin: "orders", generation: 1, number: 4 }]);
  });

  test("bytes that are no text come as base64", async () => {
    await newAgent("b2");
    await sendUp(replica, "b2", {
      plugin: "orders",
      generation: 1,
      first: 1,
      messages: [{ body: Uint8Array.of(0, 255) }],
    });
    const { items } = await page("agentId=b2&wait=10");
    expect(items[0]?.bodyBase64).toBe("AP8=");
  });

  test("a repeat is taken once; an overlap adds what is new", async () => {
    await newAgent("b3");
    await up("b3", 1, ["1", "2"]);
    await up("b3", 1, ["1", "2"]);
    await up("b3", 2, ["2", "3"]);
    await up("b3", 4, ["end"]);
    await eventually("all", async () => (await page("agentId=b3")).items.at(-1)?.body === "end");
    expect((await page("agentId=b3")).items.map(({ body }) => body)).toEqual(["1", "2", "3", "end"]);
    expect(await quarantined("b3")).toEqual([]);
  });

  test("a hole is refused, whole, with its reason; so is what an ended generation sends", async () => {
    await newAgent("b4");
    await up("b4", 1, ["1"]);
    await up("b4", 3, ["3"]);
    await up("b4", 2, ["2"]);
    await up("b4", 1, ["new"], 2);
    await up("b4", 3, ["old"], 1);
    await up("b4", 2, ["end"], 2);
    await eventually("all", async () => (await page("agentId=b4")).items.at(-1)?.body === "end");
    expect((await page("agentId=b4")).items.map(({ body }) => body)).toEqual(["1", "2", "new", "end"]);
    expect((await quarantined("b4")).map(({ code }) => code)).toEqual(["statement_stale", "gap"]);
  });

  test("what is malformed, of another plugin, or of no agent goes into quarantine, and the next goes on", async () => {
    await newAgent("b5");
    const publish = (agent: string, plugin: string, bytes: Uint8Array) =>
      replica.broker.publish({ kind: "up", agent, plugin }, bytes, crypto.randomUUID());
    await publish("b5", "orders", utf8("no CBOR"));
    await publish("b5", "orders", Uint8Array.of(0xa0));
    await publish("nobody", "orders", utf8("x"));
    await publish("b5", "made-up", utf8("x"));
    const entry = { generation: 1, first: 1, messages: [{ body: utf8("end") }] };
    await sendUp(replica, "b5", { ...entry, plugin: "orders" });
    await eventually("the next", async () => (await page("agentId=b5")).items.length === 1);
    const items = await quarantined("b5");
    expect(items.map(({ code }) => code)).toEqual(["invalid", "malformed"]);
    const all = (await (await replica.call("GET", "/quarantine")).json()) as {
      items: { agentId: string | null; code: string }[];
    };
    expect(all.items.filter(({ agentId }) => agentId === null).map(({ code }) => code)).toEqual([
      "unknown_plugin",
      "unknown_plugin",
    ]);
    const payload = await replica.call("GET", `/quarantine/${items[1]?.id}/payload`);
    expect(await payload.text()).toBe("no CBOR");
    const looks = await replica.deps.db.read("SELECT action FROM audit_entries WHERE action = 'quarantine.read'");
    expect(looks).toHaveLength(1);
  });

  test("what does not fit its plugin's schema is quarantined with the place, the rest is taken", async () => {
    const receiveSchema = { type: "object", required: ["id"], properties: { id: { type: "integer" } } };
    await newAgent("b6", { ...filePlugin, receiveSchema });
    await up("b6", 1, ['{"id":1}', '{"id":"secret value"}', "no json", '{"id":2}']);
    await eventually("the fitting", async () => (await page("agentId=b6")).items.length === 2);
    const items = await quarantined("b6");
    expect(items.map(({ kind }) => kind)).toEqual(["message", "message"]);
    expect(items[1]?.reason).toContain("#/id");
    expect(JSON.stringify(items)).not.toContain("secret value");
    expect((await replica.messaging.upWatermarks("b6"))[0]?.number).toBe(4);
  });

  test("a dead letter is kept whole, shown with its reason, and replayed once", async () => {
    await newAgent("b7");
    const { id } = (await (await replica.call("POST", "/agents/b7/plugins/orders/messages", utf8("x"))).json()) as {
      id: string;
    };
    const [entry] = await readDown(replica, "b7", "orders", 1);
    if (entry === undefined) throw new TypeError("no entry");
    const at = entry.seq * 1_024;
    const letter = {
      kind: "dead",
      about: id,
      position: at,
      code: "refused",
      reason: "no such customer",
      tries: 5,
      body: utf8("x"),
      contentType: "text/plain",
    } as const;
    const status = { created: entry.created, stored: at, applied: at, at: 9 };
    await sendUp(replica, "b7", { plugin: "orders", generation: 1, first: 1, messages: [letter], status });
    const message = await eventually("dead", async () => {
      const shown = (await (await replica.call("GET", `/messages/${id}`)).json()) as { state: string; reason: string };
      return shown.state === "dead" ? shown : undefined;
    });
    expect(message.reason).toBe("no such customer");
    const { items } = (await (await replica.call("GET", "/dead-letters?agentId=b7&open=true")).json()) as {
      items: { id: number }[];
    };
    const letterId = items[0]?.id;
    expect(await (await replica.call("GET", `/dead-letters/${letterId}/payload`)).text()).toBe("x");
    const elsewhere = await replica.call("GET", `/dead-letters/${letterId}/payload`, undefined, {
      authorization: "Bearer other",
    });
    expect(elsewhere.status).toBe(404);
    const replays = await Promise.all([1, 2].map(() => replica.call("POST", `/dead-letters/${letterId}/replay`)));
    const ids = await Promise.all(replays.map(async (answer) => ((await answer.json()) as { id: string }).id));
    expect(ids[0]).toBe(ids[1] ?? "");
    const shown = (await (await replica.call("GET", `/messages/${ids[0]}`)).json()) as { replays: string };
    expect(shown.replays).toBe(id);
    const open = (await (await replica.call("GET", "/dead-letters?agentId=b7&open=true")).json()) as {
      items: unknown[];
    };
    expect(open.items).toEqual([]);
  });

  test("an unknown outcome waits for a person and is not replayed before", async () => {
    await newAgent("b8");
    const { id } = (await (await replica.call("POST", "/agents/b8/plugins/orders/messages", utf8("x"))).json()) as {
      id: string;
    };
    await sendUp(replica, "b8", {
      plugin: "orders",
      generation: 1,
      first: 1,
      messages: [{ kind: "unknown", about: id, body: utf8("x") }],
    });
    const state = async () =>
      ((await (await replica.call("GET", `/messages/${id}`)).json()) as { state: string }).state;
    await eventually("unknown", async () => (await state()) === "unknown");
    const { items } = (await (await replica.call("GET", "/dead-letters?agentId=b8&kind=unknown")).json()) as {
      items: { id: number }[];
    };
    expect((await replica.call("POST", `/dead-letters/${items[0]?.id}/replay`)).status).toBe(409);
    await sendUp(replica, "b8", {
      plugin: "orders",
      generation: 1,
      first: 2,
      messages: [{ kind: "settled", about: id, code: "applied" }],
    });
    await eventually("applied", async () => (await state()) === "applied");
  });

  test("a live stream goes on behind the last event that was seen", async () => {
    await newAgent("b9");
    await up("b9", 1, ["1", "2"]);
    const { items } = await page("agentId=b9&wait=10");
    const answer = await replica.call("GET", "/received/stream?agentId=b9", undefined, {
      "last-event-id": items[0]?.cursor ?? "",
    });
    expect(answer.headers.get("content-type")).toStartWith("text/event-stream");
    const reader = answer.body?.getReader();
    let text = "";
    const until = async (part: string) => {
      while (!text.includes(part)) text += new TextDecoder().decode((await reader?.read())?.value);
    };
    await until('"body":"2"');
    await up("b9", 3, ["3"]);
    await until('"body":"3"');
    expect(text).not.toContain('"body":"1"');
    await reader?.cancel();
  });

  test("a stream that lost its end gives its numbers out again: what stands there now is not taken for what stood there", async () => {
    await using own = await DataSide.make();
    const { deps } = await own.replica();
    const lane = await makeLanes(deps.db).of({ customerId: "cus_acme", agentId: "b11", plugin: "orders" });
    const lease = await makeLeases(deps, "lost-end").acquire("lost-end", 60_000);
    if (lease === undefined) throw new TypeError("no lease");
    const stop = new AbortController();
    const running = ingest(
      {
        db: deps.db,
        seals: deps.seals,
        clock: deps.clock,
        log: silentLog,
        metrics: noMessageMetrics,
        hooks: { report: async () => [], answer: async () => [], warning: async () => [] },
        checksOf: async () => new Map(),
        laneOf: async (_agent, plugin) => (plugin === "orders" ? lane : undefined),
        stored: () => undefined,
        openUp: async (options) => {
          for (const plugin of ["orders", "strange"])
            for (const id of ["first", "second", "second"])
              options.onEntry({ created: "life", seq: 7, id, agent: "b11", plugin, bytes: utf8(`malformed ${id}`) });
          return { confirm: () => undefined, close: async () => undefined };
        },
      },
      lease,
      stop.signal,
    ).catch(() => undefined); // ended below
    const kept = () => deps.db.read("SELECT origin FROM quarantine WHERE origin LIKE '%/life/7/%'");
    await eventually("both of each, once", async () => (await kept()).length === 4);
    stop.abort();
    await running;
    expect(await kept()).toHaveLength(4);
  });

  test("a former holder of the lease writes nothing, however late it is", async () => {
    await newAgent("b10");
    const { deps } = replica;
    const lanes = makeLanes(deps.db);
    const lane = await lanes.find("b10", "orders");
    const stored: number[] = [];
    let hand: ((seq: number, body: string) => Promise<void>) | undefined;
    const work = (lease: Lease, signal: AbortSignal) => {
      const made: IngestDeps = {
        db: deps.db,
        seals: deps.seals,
        clock: deps.clock,
        log: silentLog,
        metrics: noMessageMetrics,
        hooks: { report: async () => [], answer: async () => [], warning: async () => [] },
        checksOf: async () => new Map(),
        laneOf: async () => lane,
        stored: ({ messages }) => stored.push(messages),
        openUp: async (options) => {
          hand = async (seq, body) => {
            const { encodeEntry } = await import("#lib/session");
            const message = { kind: "data", id: `x${seq}`, time: 1, body: utf8(body) } as const;
            const bytes = encodeEntry({ v: 1, plugin: "orders", generation: 1, first: seq, messages: [message] });
            options.onEntry({ created: "test", seq, id: `e${seq}`, agent: "b10", plugin: "orders", bytes });
          };
          return { confirm: () => undefined, close: async () => undefined };
        },
      };
      return ingest(made, lease, signal);
    };
    const termMs = 1;
    const old = await makeLeases(deps, "old").acquire("test", termMs);
    if (old === undefined) throw new TypeError("no lease");
    const stop = new AbortController();
    const running = work(old, stop.signal).catch((error: unknown) => error);
    await eventually("opened", () => hand !== undefined);
    await hand?.(1, "by the old one");
    await eventually("stored", () => stored.length === 1);
    const taken = await eventually("the term passed", () => makeLeases(deps, "new").acquire("test", 60_000));
    expect(taken.number).toBe(old.number + 1);
    expect(await old.renew()).toBe(false);
    await hand?.(2, "too late");
    const error = await running;
    expect(error).toBeInstanceOf(Fault);
    expect((error as Fault).detail.expectation).toBe(0);
    expect((await page("agentId=b10")).items.map(({ body }) => body)).toEqual(["by the old one"]);
  });

  test("what is stored is published as events, each once under its id, by whoever holds the lease", async () => {
    const events = await DataSide.make();
    const one = await events.replica("one", { change: () => ({ publishEvents: true }) });
    await addCustomer(one, "acme");
    await addAgent(one, "acme", "v1");
    await addPlugin(one, "v1", "orders");
    const ids: string[] = [];
    const bodies: string[] = [];
    const source = await one.broker.open(
      { kind: "event" },
      {
        onEntry(entry) {
          const { messages } = decodeCbor(entry.bytes) as { messages: { id: string; body: Uint8Array }[] };
          ids.push(`${entry.agent}.${entry.plugin} ${entry.id}`);
          bodies.push(...messages.map(({ body }) => fromUtf8(body)));
        },
        onClosed: () => undefined,
      },
    );
    await eventually("it follows", async () => (await one.deps.db.read("SELECT 1 FROM received_readers")).length === 1);
    for (const first of [1, 2, 3])
      await sendUp(one, "v1", { plugin: "orders", generation: 1, first, messages: [{ body: utf8(`${first}`) }] });
    await eventually("published", () => bodies.length === 3);
    expect(bodies).toEqual(["1", "2", "3"]);
    expect(new Set(ids).size).toBe(3);
    await source.close();
    await events[Symbol.asyncDispose]();
  });

  test("two replicas: when the holder stops, the other goes on without loss or repeat", async () => {
    const pair = await DataSide.make();
    const one = await pair.replica("one");
    const two = await pair.replica("two");
    await addCustomer(one, "acme");
    await addAgent(one, "acme", "c1");
    await addPlugin(one, "c1", "orders");
    const send = (first: number) => sendUp(two, "c1", { plugin: "orders", generation: 1, first, messages: [{}] });
    for (let first = 1; first <= 5; first++) await send(first);
    await eventually("five", async () => (await two.messaging.upWatermarks("c1"))[0]?.number === 5);
    await one[Symbol.asyncDispose]();
    for (let first = 6; first <= 10; first++) await send(first);
    await eventually("ten", async () => (await two.messaging.upWatermarks("c1"))[0]?.number === 10);
    const { items } = (await (await two.call("GET", "/received?agentId=c1")).json()) as { items: Item[] };
    expect(items.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, index) => `m1-${index + 1}`));
    await pair[Symbol.asyncDispose]();
  });
});
