import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fromUtf8 } from "#lib/bytes";
import { DrivenClock } from "#support/driven-clock";
import { eventually } from "#support/eventually";
import { expectFault } from "#support/faults";
import { Ledger } from "../../support/erp/ledger.ts";
import { erpApp } from "../../support/erp/server.ts";
import { killedAt, PluginWorld, type WorldOptions } from "./plugin-world.ts";

setDefaultTimeout(30_000);

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

async function world(options: WorldOptions = {}): Promise<PluginWorld> {
  const made = await PluginWorld.open(options);
  opened.push(made);
  return made;
}

function serve(answer: (url: URL, request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => answer(new URL(request.url), request),
  });
  opened.push({ [Symbol.asyncDispose]: () => server.stop(true) });
  return `http://127.0.0.1:${server.port}`;
}

/** A system with `count` items, `size` to a page. */
function numbered(count: number, size: number, padding = 1): { url: string; asked: (string | null)[] } {
  const asked: (string | null)[] = [];
  const url = serve((at) => {
    const since = at.searchParams.get("since");
    asked.push(since);
    const first = Number(since ?? 0) + 1;
    const ids = Array.from({ length: Math.max(0, Math.min(size, count - first + 1)) }, (_, index) => first + index);
    return Response.json({ data: { list: ids.map((id) => ({ id, pad: "x".repeat(padding) })) } });
  });
  return { url, asked };
}

const list = { path: "/changes", schedule: 86_400_000, items: "/data/list" };
const poll = (baseUrl: string, up: Record<string, unknown> = {}) => ({
  baseUrl,
  timeoutMs: 2_000,
  up: { ...list, ...up },
});

async function collect(here: PluginWorld, config: unknown, host = here.host): Promise<number> {
  const plugin = here.make("http", config, host);
  if (plugin.collectNow === undefined) throw new TypeError("collects nothing");
  return await plugin.collectNow();
}

const ids = async (here: PluginWorld) => (await here.texts()).map((text) => JSON.parse(text).id);
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe("polling", () => {
  test("takes page after page until an empty one, and later only what is new", async () => {
    const there = numbered(25, 10);
    const here = await world();
    expect(await collect(here, poll(there.url))).toBe(25);
    expect(there.asked).toEqual([null, "10", "20", "25"]);
    expect(await collect(here, poll(there.url))).toBe(0);
    expect(there.asked.at(-1)).toBe("25");
    expect(await ids(here)).toEqual(upTo(25));
    expect((await here.outbox())[0]?.contentType).toBe("application/json");
  });

  test("misses nothing and repeats nothing when Mercury is killed before or after a page is stored", async () => {
    for (const when of ["before", "after"] as const)
      for (const call of [1, 2, 3]) {
        const there = numbered(25, 10);
        const here = await world();
        const host = killedAt(here.host, call, when);
        void collect(here, poll(there.url), host);
        await host.killed;
        await collect(here, poll(there.url));
        expect(await ids(here)).toEqual(upTo(25));
      }
  });

  test("reads the ERP's stock changes with its password", async () => {
    const directory = await PluginWorld.folder();
    const ledger = new Ledger(`${directory}/erp.db`);
    const app = erpApp(
      ledger,
      { username: "u", password: "pw" },
      { honourKeys: true, state: "up", failNumber: null, delayMs: 0 },
    );
    const url = serve((_at, request) => app.fetch(request));
    const here = await world();
    here.keepFolder(directory);
    for (const number of upTo(300)) ledger.book({ number: String(number), sku: "s", quantity: 2 }, undefined);
    const auth = { kind: "basic", username: "u", password: "pw" };
    const config = { baseUrl: url, auth, up: { path: "/stock-changes", schedule: 86_400_000 } };
    expect(await collect(here, config)).toBe(300);
    expect(await ids(here)).toEqual(upTo(300));
    await expectFault(collect(here, { ...config, auth: { ...auth, password: "wrong" } }), "system_unavailable");
    ledger[Symbol.dispose]();
  });

  test("keeps 64-bit integers and decimals digit by digit, in items and cursor", async () => {
    const items = [
      '{"id":9007199254740993,"amount":1.10,"tiny":-0,"big":1e400}',
      '{"id":9007199254740995,"amount":0.30}',
    ];
    const asked: (string | null)[] = [];
    const url = serve((at) => {
      asked.push(at.searchParams.get("since"));
      return new Response(asked.length === 1 ? `[${items.join(" , ")}]` : "[]");
    });
    const here = await world();
    await collect(here, poll(url, { items: "" }));
    expect(await here.texts()).toEqual(items);
    expect(asked).toEqual([null, "9007199254740995"]);
  });

  test("passes a text cursor as it is, beside a query that is there already", async () => {
    const searches: string[] = [];
    const url = serve((at) => {
      searches.push(at.search);
      return Response.json(searches.length === 1 ? [{ at: { "x/y": "2024-01-01T00:00:00+01:00 & more" } }] : []);
    });
    const here = await world();
    await collect(
      here,
      poll(url, { path: "/l?$filter=a%20eq%20b", items: "", cursor: "/at/x~1y", cursorParameter: "from id" }),
    );
    expect(searches).toEqual([
      "?$filter=a%20eq%20b",
      "?$filter=a%20eq%20b&from%20id=2024-01-01T00%3A00%3A00%2B01%3A00%20%26%20more",
    ]);
  });

  const bad: [string, () => Response, "plugin_failed" | "too_large" | "system_unavailable"][] = [
    ["no JSON", () => new Response("<html>"), "plugin_failed"],
    ["no UTF-8", () => new Response(new Uint8Array([0x5b, 0xff, 0x5d])), "plugin_failed"],
    ["no list", () => Response.json({ data: {} }), "plugin_failed"],
    ["no cursor", () => Response.json({ data: { list: [{ no: 1 }] } }), "plugin_failed"],
    ["an object as cursor", () => Response.json({ data: { list: [{ id: {} }] } }), "plugin_failed"],
    [
      "an item that is too large",
      () => Response.json({ data: { list: [{ id: 1, x: "x".repeat(1_100_000) }] } }),
      "too_large",
    ],
    ["too many items", () => Response.json({ data: { list: upTo(10_001) } }), "too_large"],
    ["more bytes than a page may have", () => new Response("[".padEnd(9 * 1024 * 1024)), "too_large"],
    ["nesting without end", () => new Response("[".repeat(5_000_000)), "plugin_failed"],
    ["a redirect", () => Response.redirect("http://127.0.0.1:1/"), "system_unavailable"],
    ["an error", () => new Response("down", { status: 500 }), "system_unavailable"],
  ];
  test.each(bad)("an answer with %s stores nothing and says so", async (_what, answer, code) => {
    const here = await world();
    await expectFault(collect(here, poll(serve(answer))), code);
    expect(await here.outbox()).toBeEmpty();
  });

  test("a system that ignores the cursor is found out before anything comes twice", async () => {
    const here = await world();
    const url = serve(() => Response.json({ data: { list: [{ id: 1 }, { id: 2 }] } }));
    await expectFault(collect(here, poll(url)), "plugin_failed");
    expect(await ids(here)).toEqual([1, 2]);
  });

  test("a hanging system is given up after the time-out", async () => {
    const here = await world();
    const url = serve(() => new Promise<never>(() => undefined));
    await expectFault(collect(here, { ...poll(url), timeoutMs: 200 }), "system_unavailable");
  });

  test("waits while the outbox is full, says so, and goes on when there is room", async () => {
    const there = numbered(8_000, 2_000, 500);
    const here = await world({ outboxBytes: 2 * 1024 * 1024 });
    const plugin = here.make("http", poll(there.url));
    const collected = plugin.collectNow?.();
    await eventually("the outbox is full", () => plugin.trouble?.()?.includes("full"));
    const seen: number[] = [];
    await eventually("all came", async () => {
      seen.push(...(await here.take()).map(({ body }) => JSON.parse(fromUtf8(body)).id));
      return seen.length >= 8_000;
    });
    expect(await collected).toBe(8_000);
    expect(seen).toEqual(upTo(8_000));
    expect(plugin.trouble?.()).toBeUndefined();
  }, 30_000);
});

describe("the schedule", () => {
  test("polls at its times, never two at once", async () => {
    const clock = new DrivenClock(Date.UTC(2024, 0, 1, 0, 0, 30));
    let under = 0;
    let [most, polls] = [0, 0];
    const url = serve(async () => {
      polls += 1;
      most = Math.max(most, ++under);
      await Bun.sleep(20);
      under -= 1;
      return Response.json([]);
    });
    const here = await world({ clock });
    const plugin = await here.start("http", {
      ...poll(url, { items: "", schedule: "*/5 * * * *" }),
      timeoutMs: 600_000, // driven too: none may end a real call
    });
    await clock.advance(60_000);
    expect(polls).toBe(0);
    await Promise.all([plugin.collectNow?.(), plugin.collectNow?.()]);
    expect(polls).toBe(2);
    await clock.advance(4 * 60_000);
    // The answers are real and come when they come: a timer may be set after the time it was meant for was driven past.
    const polled = (count: number) => async () => {
      if (polls < count) await clock.advance(1_000);
      return polls === count;
    };
    await eventually("the scheduled poll", polled(3));
    await clock.advance(60_000);
    clock.setWall(clock.now() - 86_400_000); // the clock is set back by a day
    await clock.advance(6 * 60_000);
    await eventually("the next one all the same", polled(4));
    expect(most).toBe(1);
  });

  test("after a failure it backs off, honours Retry-After, and says what is wrong once", async () => {
    const clock = new DrivenClock();
    let [polls, status] = [0, 500];
    const url = serve(() => {
      polls += 1;
      return status === 200
        ? Response.json([])
        : new Response("maintenance", { status, headers: status === 503 ? { "retry-after": "600" } : {} });
    });
    const here = await world({ clock });
    // The driven clock also drives time-outs: none may end a real call.
    const plugin = await here.start("http", { ...poll(url, { items: "", schedule: 100 }), timeoutMs: 600_000 });
    const failed = (count: number) =>
      eventually(
        `failure ${count}`,
        () => here.logged.filter(({ message }) => /^poll failed/.test(message)).length >= count,
      );
    await failed(1);
    for (let count = 2; count <= 5; count++) {
      await clock.advance(60_000);
      await failed(count);
    }
    expect(polls).toBeLessThan(20);
    expect(here.logged.filter(({ message }) => message === "poll failed")).toHaveLength(1);
    expect(plugin.trouble?.()).toContain("500");
    status = 503;
    await clock.advance(60_000);
    await eventually("another failure", () => plugin.trouble?.()?.includes("503"));
    const before = polls;
    await clock.advance(500_000);
    expect(polls).toBe(before);
    status = 200;
    await clock.advance(160_000);
    await eventually("well again", () => plugin.trouble?.() === undefined);
  });
});
