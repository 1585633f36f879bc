import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Erp } from "../../support/erp-process.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import { Stack } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 90_000;
const login = { username: "connector", password: "of the ERP" };

interface Letter {
  readonly id: number;
  readonly message: string;
  readonly code: string;
  readonly reason: string;
  readonly tries: number;
  readonly settled: string | null;
}

/** What becomes of messages when a system at the site does not do its part: a clear word, and nothing lost. */
describe("a system that misbehaves", () => {
  let stack: Stack;
  let erp: Erp;
  let agentId: string;
  const port = freePort();

  beforeAll(async () => {
    stack = await Stack.start();
    erp = await Erp.start({ directory: stack.directory, ...login });
    ({ agentId } = await stack.addAgent({ allow: [`127.0.0.1:${erp.port}`, `127.0.0.1:${port}`] }));
  }, timeoutMs);
  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
    await erp?.[Symbol.asyncDispose]();
  });

  /** A plugin of its own for each test: its lane, and orders that nobody else books. */
  async function ordersPlugin(plugin: string): Promise<(number: string) => Promise<string>> {
    await stack.api.putPlugin(agentId, plugin, {
      type: "http",
      config: {
        baseUrl: erp.url,
        auth: { kind: "basic", ...login },
        checkPath: "/health",
        timeoutMs: 500,
        down: { path: "/orders", keepsIdempotencyKeys: true },
      },
    });
    await stack.applied(agentId, plugin);
    return async (number) => {
      const body = JSON.stringify({ number: `${plugin}-${number}`, sku: "S", quantity: 1 });
      return (await stack.api.push(agentId, plugin, body, { key: `${plugin}-${number}` })).id;
    };
  }

  const booked = async (plugin: string) => (await erp.numbers()).filter((number) => number.startsWith(`${plugin}-`));
  const letters = async (plugin: string) =>
    (await stack.api.call<{ items: Letter[] }>("GET", `/dead-letters?agentId=${agentId}&plugin=${plugin}`)).items;
  const stateOf = async (id: string) => (await stack.api.message(id)).state;
  const becomes = (id: string, state: string) =>
    eventually(`${id} is ${state}`, async () => (await stack.api.message(id)).state === state, { timeoutMs: 45_000 });

  test(
    "that answers 500 to one message: 5 tries, then a dead letter; the others go on in order; a replay works later",
    async () => {
      const push = await ordersPlugin("refusing");
      await erp.behave({ failNumber: "refusing-bad" });
      const [first, bad, last] = [await push("1"), await push("bad"), await push("2")];
      await becomes(last, "applied");
      expect(await stateOf(first)).toBe("applied");
      await becomes(bad, "dead");
      expect(await booked("refusing")).toEqual(["refusing-1", "refusing-2"]);
      const [letter, ...more] = await letters("refusing");
      expect(more).toEqual([]);
      expect(letter).toMatchObject({ message: bad, tries: 5, settled: null });
      expect(letter?.reason).toContain("500");
      const payload = await stack.api.request("GET", `/dead-letters/${letter?.id}/payload`);
      expect(await payload.json()).toMatchObject({ number: "refusing-bad" });

      await erp.behave({ failNumber: null });
      const replay = await stack.api.call<{ id: string }>("POST", `/dead-letters/${letter?.id}/replay`);
      expect(replay.id).not.toBe(bad);
      await becomes(replay.id, "applied");
      expect(await booked("refusing")).toEqual(["refusing-1", "refusing-2", "refusing-bad"]);
      expect((await letters("refusing"))[0]).toMatchObject({ settled: "replayed" });
    },
    timeoutMs,
  );

  test(
    "that hangs, is down, or locks us out: the lane says why and goes on in order, nothing is dead, nothing twice",
    async () => {
      const push = await ordersPlugin("waiting");
      const ids = [await push("0")];
      await becomes(ids[0] ?? "", "applied");
      for (const state of ["hang", "down", "locked-out"] as const) {
        await erp.behave({ state });
        ids.push(await push(String(ids.length)), await push(String(ids.length + 1)));
        await eventually(`the lane says that it waits (${state})`, async () => {
          const { items } = await stack.api.call<{ items: { plugin: string; waiting: string | null }[] }>(
            "GET",
            `/agents/${agentId}/lanes`,
          );
          const waiting = items.find(({ plugin }) => plugin === "waiting")?.waiting ?? "";
          return state === "hang" ? waiting !== "" : waiting.includes(state === "down" ? "503" : "401");
        });
        await erp.behave({ state: "up" });
        await becomes(ids.at(-1) ?? "", "applied");
      }
      expect(await booked("waiting")).toEqual(ids.map((_, index) => `waiting-${index}`));
      expect(await letters("waiting")).toEqual([]);
      expect(await Promise.all(ids.map(stateOf))).toEqual(ids.map(() => "applied"));
    },
    timeoutMs,
  );

  test(
    "that posts more than the outbox holds while the cloud is away: 503 with Retry-After, and what got 202 arrives once",
    async () => {
      await stack.api.putPlugin(agentId, "hook", {
        type: "webhook",
        config: { port, auth: { kind: "none" } },
        lane: { outboxBytes: 2 * 1024 * 1024 },
      });
      await stack.applied(agentId, "hook");
      const post = (number: number) =>
        fetch(`http://127.0.0.1:${port}/`, {
          method: "POST",
          headers: { "idempotency-key": `post-${number}` },
          body: `${number} ${"x".repeat(400 * 1024)}`,
        });
      await stack.gateway.kill();
      let taken = 0;
      let answer = await post(taken);
      while (answer.status === 202 && taken < 20) answer = await post(++taken);
      expect(answer.status).toBe(503);
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await answer.json()) as { error: string }).toMatchObject({ error: "lane_full" });
      expect(taken).toBeGreaterThan(2);

      await stack.startGateway();
      await eventually("there is room again", async () => (await post(taken)).status === 202, { timeoutMs: 45_000 });
      const received = await eventually("all that were taken arrive", async () => {
        const all = await stack.api.allReceived({ agentId, plugin: "hook" });
        return all.length >= taken + 1 && all;
      });
      const numbers = received.map(({ body }) => Number(body?.split(" ")[0]));
      expect(numbers).toEqual(Array.from({ length: taken + 1 }, (_, number) => number));
    },
    timeoutMs,
  );
});
