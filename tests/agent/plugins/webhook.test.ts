import { afterEach, describe, expect, test } from "bun:test";
import { fromUtf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { eventually } from "#support/eventually";
import { expectFault } from "#support/faults";
import type { PluginHost } from "../../../agent/plugins/plugin.ts";
import { killedAt, PluginWorld, type WorldOptions } from "./plugin-world.ts";

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

const bearer = { kind: "bearer", token: "the-token" };
const authorization = "Bearer the-token";

async function listening(
  config: Record<string, unknown> = {},
  options: WorldOptions = {},
  over = (host: PluginHost) => host,
) {
  const world = await PluginWorld.open(options);
  opened.push(world);
  const plugin = world.make("webhook", { port: 0, auth: bearer, path: "/in", ...config }, over(world.host));
  opened.push(plugin);
  await plugin.start();
  return { world, plugin, url: String(plugin.facts?.().url) };
}

const post = (url: string, body: BodyInit | null, headers: Record<string, string> = {}) =>
  fetch(url, { method: "POST", body, headers: { authorization, "content-type": "text/plain", ...headers } });

describe("a webhook", () => {
  test("shows its port, and says 202 with the id once the message is stored", async () => {
    const { world, plugin, url } = await listening();
    expect(Number(plugin.facts?.().port)).toBeGreaterThan(0);
    const answer = await post(url, "hello");
    expect(answer.status).toBe(202);
    const { id } = await answer.json();
    const [message] = await world.outbox();
    expect(message).toMatchObject({ kind: "data", id, contentType: "text/plain" });
    expect(fromUtf8(message?.body ?? new Uint8Array(0))).toBe("hello");
    await plugin.check(new AbortController().signal);
  });

  test("says nothing before that: a killed Mercury leaves the caller without an answer", async () => {
    let killed: ReturnType<typeof killedAt> | undefined;
    const { world, url } = await listening({}, {}, (host) => {
      killed = killedAt(host, 1, "before");
      return killed;
    });
    const stop = new AbortController();
    const answer = fetch(url, { method: "POST", body: "x", headers: { authorization }, signal: stop.signal });
    await killed?.killed;
    expect(await Promise.race([answer, Bun.sleep(100)])).toBeUndefined();
    stop.abort();
    await expect(answer).rejects.toThrow();
    expect(await world.outbox()).toBeEmpty();
  }, 20_000);

  test("takes many posts at once, each once", async () => {
    const { world, url } = await listening();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => post(url, `m${index}`)));
    expect(answers.every(({ status }) => status === 202)).toBe(true);
    expect((await world.texts()).sort()).toEqual(Array.from({ length: 100 }, (_, index) => `m${index}`).sort());
  });

  test("stores a post with an Idempotency-Key once, over restarts; another body under it is a conflict", async () => {
    const { world, url } = await listening();
    const headers = { "idempotency-key": "order 7" };
    const answers = await Promise.all([1, 2, 3, 4].map(() => post(url, "a", headers)));
    const ids = await Promise.all(answers.map(async (answer) => (await answer.json()).id));
    expect(new Set(ids).size).toBe(1);
    expect((await post(url, "b", headers)).status).toBe(409);
    const again = await world.start("webhook", { port: 0, auth: bearer, path: "/in" });
    const later = await post(String(again.facts?.().url), "a", headers);
    expect((await later.json()).id).toBe(ids[0]);
    expect(await world.texts()).toEqual(["a"]);
    expect((await post(url, "c", { "idempotency-key": "k".repeat(257) })).status).toBe(400);
  });

  test("refuses who does not know the secret, and says how to show it", async () => {
    const { world, url } = await listening();
    for (const wrong of ["", "Bearer", "Bearer the-toke", "Bearer the-token2", "Basic the-token", "bearer  x"]) {
      const answer = await post(url, "x", { authorization: wrong });
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toStartWith("Bearer");
    }
    expect((await post(url, "x", { authorization: "bearer the-token" })).status).toBe(202);
    const basic = await listening({ auth: { kind: "basic", username: "u", password: "pä:ss" } });
    const right = `Basic ${Buffer.from("u:pä:ss").toString("base64")}`;
    expect((await post(basic.url, "x", { authorization: right })).status).toBe(202);
    for (const wrong of ["Basic !", `Basic ${btoa("u:")}`, `Bearer ${btoa("u:pass")}`])
      expect((await post(basic.url, "x", { authorization: wrong })).status).toBe(401);
    expect(await world.texts()).toHaveLength(1);
    expect(JSON.stringify([world.logged, basic.world.logged])).not.toContain("the-token");
  });

  test("knows one path and one method", async () => {
    const { url } = await listening();
    expect((await post(`${url}/more`, "x")).status).toBe(404);
    const get = await fetch(url, { headers: { authorization } });
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("refuses a body past its limit, announced or not", async () => {
    const { world, url } = await listening({ bodyBytesMax: 1_000 });
    expect((await post(url, "x".repeat(1_000))).status).toBe(202);
    expect((await post(url, "x".repeat(1_001))).status).toBe(413);
    expect((await post(url, "x".repeat(100_000))).status).toBe(413);
    const stream = new ReadableStream({
      start(controller) {
        for (let part = 0; part < 20; part++) controller.enqueue(new TextEncoder().encode("x".repeat(100)));
        controller.close();
      },
    });
    const streamed = await post(url, stream);
    expect(streamed.status).toBe(413);
    expect(await world.texts()).toHaveLength(1);
  });

  test("says 503 and when to come again while the outbox is full or the disk is", async () => {
    const { world, url } = await listening({}, { outboxBytes: 2 * 1024 * 1024 });
    const body = "x".repeat(1_000_000);
    const statuses: number[] = [];
    for (let index = 0; index < 4; index++) {
      const answer = await post(url, body);
      statuses.push(answer.status);
      if (answer.status === 503) expect(Number(answer.headers.get("retry-after"))).toBeWithin(5, 11);
    }
    expect(statuses).toEqual([202, 202, 503, 503]);
    await world.take();
    expect((await post(url, body)).status).toBe(202);
    const full = await listening({}, {}, (host) => ({
      ...host,
      emit: async () => {
        throw new Fault("disk_full");
      },
    }));
    const answer = await post(full.url, "x", { "idempotency-key": "k" });
    expect([answer.status, answer.headers.has("retry-after")]).toEqual([503, true]);
  });

  test("answers 500 without a word of why when something breaks inside", async () => {
    const { url } = await listening({}, {}, (host) => ({
      ...host,
      emit: async () => {
        throw new TypeError("details of ours");
      },
    }));
    const answer = await post(url, "x");
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("details");
  });

  test("ends in bounded time although a caller stopped in the middle of its body", async () => {
    const { plugin, url } = await listening();
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(url).port),
      socket: { data: () => undefined },
    });
    socket.write(`POST /in HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-length: 10\r\n\r\nhalf`);
    await eventually("the post is under way", async () => (await post(url, "x")).status === 202);
    const begun = performance.now();
    await plugin[Symbol.asyncDispose]();
    expect(performance.now() - begun).toBeLessThan(5_000);
    await expect(post(url, "x")).rejects.toThrow();
    socket.end();
  });

  test("does not listen where the site's list does not say so, nor on a port that is taken", async () => {
    const world = await PluginWorld.open({ allow: [] });
    opened.push(world);
    await expectFault(world.start("webhook", { host: "0.0.0.0", port: 0, auth: bearer }), "not_allowed_here");
    const first = await world.start("webhook", { port: 0, auth: bearer });
    await expectFault(world.start("webhook", { port: first.facts?.().port, auth: bearer }), "config");
  });
});
