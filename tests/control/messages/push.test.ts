import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import { decodeDownEntry } from "#lib/session";
import { addAgent, addCustomer, addPlugin, DataSide, type Replica, readDown, sendUp } from "#support/data-side";
import { eventually } from "#support/eventually";

let side: DataSide;
let replica: Replica;
const path = (agent: string, plugin = "orders") => `/agents/${agent}/plugins/${plugin}/messages`;

beforeAll(async () => {
  side = await DataSide.make();
  replica = await side.replica();
  await addCustomer(replica, "acme");
  await addCustomer(replica, "other");
});
afterAll(() => side[Symbol.asyncDispose]());

async function newAgent(id: string, customer = "acme") {
  await addAgent(replica, customer, id);
  await addPlugin(replica, id, "orders");
}

const stateOf = async (id: string) =>
  ((await (await replica.call("GET", `/messages/${id}`)).json()) as { state: string }).state;

describe("push", () => {
  test("202 comes when row and broker have the message", async () => {
    await newAgent("a1");
    const answer = await replica.call("POST", path("a1"), utf8("hello"), { "content-type": "text/plain" });
    expect(answer.status).toBe(202);
    const { id, state, repeated } = (await answer.json()) as { id: string; state: string; repeated: boolean };
    expect(state).toBe("queued");
    expect(repeated).toBe(false);
    const [entry] = await readDown(replica, "a1", "orders", 1);
    const [message] = decodeDownEntry(entry?.bytes ?? new Uint8Array()).messages;
    expect(message?.id).toBe(id);
    expect(message?.contentType).toBe("text/plain");
    expect(fromUtf8(message?.body ?? new Uint8Array())).toBe("hello");
    expect(await stateOf(id)).toBe("queued");
  });

  test("the site's watermark moves the state, whenever it comes", async () => {
    await newAgent("a2");
    const pushed = await replica.call("POST", `${path("a2")}:batch`, [{ body: "1" }, { body: "2" }, { body: "3" }]);
    expect(pushed.status).toBe(202);
    const { items } = (await pushed.json()) as { items: { id: string }[] };
    const [entry] = await readDown(replica, "a2", "orders", 1);
    if (entry === undefined) throw new TypeError("no entry");
    const at = entry.seq * 1_024;
    const status = { created: entry.created, stored: at + 1, applied: at, at: 1_700_000_000_500 };
    await sendUp(replica, "a2", { plugin: "orders", generation: 0, first: 1, messages: [], status });
    const [first, second, third] = items.map(({ id }) => id);
    await eventually("applied", async () => (await stateOf(first ?? "")) === "applied");
    expect(await stateOf(second ?? "")).toBe("stored");
    expect(await stateOf(third ?? "")).toBe("queued");
    const shown = (await (await replica.call("GET", `/messages/${first}`)).json()) as Record<string, unknown>;
    expect(shown.appliedAt).toBe(1_700_000_000_500);
    // It never goes back.
    await sendUp(replica, "a2", {
      plugin: "orders",
      generation: 0,
      first: 1,
      messages: [],
      status: { ...status, stored: at, applied: 0 },
    });
    await sendUp(replica, "a2", { plugin: "orders", generation: 1, first: 1, messages: [{}] });
    await eventually("ingested", async () => ((await replica.messaging.upWatermarks("a2"))[0]?.number ?? 0) === 1);
    expect(await stateOf(second ?? "")).toBe("stored");
    for (const [state, count] of [
      ["applied", 1],
      ["stored", 1],
      ["queued", 1],
      ["dead", 0],
    ] as const) {
      const listed = (await (await replica.call("GET", `/messages?agentId=a2&state=${state}`)).json()) as {
        items: unknown[];
      };
      expect(listed.items).toHaveLength(count);
    }
    const lanes = (await (await replica.call("GET", "/agents/a2/lanes")).json()) as { items: unknown[] };
    expect(lanes.items).toEqual([{ plugin: "orders", queued: 1, stored: 1, at: 1_700_000_000_500, waiting: null }]);
  });

  test("a report that comes before the position is written counts", async () => {
    const held = Promise.withResolvers<void>();
    const slow = await side.replica("slow", {
      change: (deps) => ({
        db: {
          ...deps.db,
          writeLater: async (...set) => {
            const first = set[0];
            if (first !== undefined && "sql" in first && first.sql.startsWith("UPDATE push_entries SET stream"))
              await held.promise;
            return deps.db.writeLater(...set);
          },
        },
      }),
    });
    await newAgent("a3");
    const { id } = (await (await slow.call("POST", path("a3"), utf8("x"))).json()) as { id: string };
    const [entry] = await readDown(replica, "a3", "orders", 1);
    if (entry === undefined) throw new TypeError("no entry");
    const at = entry.seq * 1_024;
    await sendUp(replica, "a3", {
      plugin: "orders",
      generation: 0,
      first: 1,
      messages: [],
      status: { created: entry.created, stored: at, applied: at, at: 5 },
    });
    const counted = "SELECT count(*) AS n FROM lane_streams s JOIN lanes n ON n.id = s.lane WHERE n.agent_id = 'a3'";
    await eventually(
      "the report is stored",
      async () => (await replica.deps.db.read<{ n: number }>(counted))[0]?.n === 1,
    );
    expect(await stateOf(id)).toBe("queued");
    held.resolve();
    await eventually("applied", async () => (await stateOf(id)) === "applied");
    await slow[Symbol.asyncDispose]();
  });

  test("a key is one message: the same body again, another is refused", async () => {
    await newAgent("a4");
    const push = (body: string) => replica.call("POST", path("a4"), utf8(body), { "idempotency-key": "order 1" });
    const first = (await (await push("one")).json()) as { id: string };
    const again = await push("one");
    expect(again.status).toBe(202);
    expect(await again.json()).toEqual({ id: first.id, repeated: true, state: "queued" });
    const other = await push("two");
    expect(other.status).toBe(409);
    expect(((await other.json()) as { code: string }).code).toBe("idempotency_conflict");
    // Not known to be stored at the site: it was published again, under the same id.
    const entries = await readDown(replica, "a4", "orders", 2);
    expect(entries.flatMap(({ bytes }) => decodeDownEntry(bytes).messages.map(({ id }) => id))).toEqual([
      first.id,
      first.id,
    ]);
  });

  test("the same key with different bodies at once: one wins, in one or in two processes", async () => {
    await newAgent("a5");
    const two = await side.replica("two");
    for (const others of [
      [replica, replica],
      [replica, two],
    ] as const) {
      const key = crypto.randomUUID();
      const pushes = Array.from({ length: 12 }, (_, index) =>
        (others[index % 2] ?? replica).call("POST", path("a5"), utf8(`body ${index}`), { "idempotency-key": key }),
      );
      const statuses = (await Promise.all(pushes)).map(({ status }) => status).toSorted();
      expect(statuses).toEqual([202, ...new Array(11).fill(409)]);
    }
    await two[Symbol.asyncDispose]();
  });

  test("a batch tells per message, in order", async () => {
    await newAgent("a6");
    const batch = [
      { body: "a", idempotencyKey: "k" },
      { json: { b: 1 } },
      { body: "z", idempotencyKey: "k" },
      { bodyBase64: "AP8" },
    ];
    const answer = await replica.call("POST", `${path("a6")}:batch`, batch);
    expect(answer.status).toBe(207);
    const { items } = (await answer.json()) as { items: { id?: string; code?: string }[] };
    expect(items.map(({ code }) => code)).toEqual([undefined, undefined, "idempotency_conflict", undefined]);
    const ids: string[] = [];
    for (const { bytes } of await readDown(replica, "a6", "orders", 2))
      ids.push(...decodeDownEntry(bytes).messages.map(({ id }) => id));
    expect(ids).toEqual(items.flatMap(({ id }) => id ?? []));
  });

  test("what is wrong with a batch is named by its path, and nothing of it is taken", async () => {
    await newAgent("a7");
    const answer = await replica.call("POST", `${path("a7")}:batch`, [
      { body: 1 },
      { body: "a", json: 1 },
      { text: "" },
      { body: "ok" },
    ]);
    expect(answer.status).toBe(422);
    const { errors } = (await answer.json()) as { errors: { path: string }[] };
    expect(errors.map(({ path: at }) => at)).toEqual(["[0].body", "[1]", "[2].text", "[2]"]);
    const listed = (await (await replica.call("GET", "/messages?agentId=a7")).json()) as { items: unknown[] };
    expect(listed.items).toEqual([]);
  });

  test("where it may not go it is refused with a code", async () => {
    await newAgent("a8");
    const codeOf = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code];
    expect(await codeOf(await replica.call("POST", path("nobody"), utf8("x")))).toEqual([404, "not_found"]);
    expect(await codeOf(await replica.call("POST", path("a8", "nothing"), utf8("x")))).toEqual([404, "unknown_plugin"]);
    expect(await codeOf(await replica.call("POST", path("a8"), utf8("x"), { authorization: "Bearer other" }))).toEqual([
      404,
      "not_found",
    ]);
    expect(await codeOf(await replica.call("POST", path("a8"), utf8("x"), { authorization: "Bearer reader" }))).toEqual(
      [403, "forbidden"],
    );
    expect(await codeOf(await replica.call("POST", path("a8"), new Uint8Array(2 ** 20 + 1)))).toEqual([
      413,
      "too_large",
    ]);
    expect((await replica.call("POST", path("a8"), utf8("x"))).status).toBe(202);
    await replica.call("DELETE", "/agents/a8/plugins/orders");
    expect(await codeOf(await replica.call("POST", path("a8"), utf8("x")))).toEqual([404, "unknown_plugin"]);
    await addPlugin(replica, "a8", "orders");
    expect((await replica.call("POST", path("a8"), utf8("x"))).status).toBe(202);
    await replica.deps.db.write({ sql: "UPDATE agents SET revoked_at = 1 WHERE id = 'a8'" });
    expect(await codeOf(await replica.call("POST", path("a8"), utf8("x")))).toEqual([403, "revoked"]);
  });

  test("a body of 1 MiB, an empty one and any bytes arrive as they are", async () => {
    await newAgent("a9");
    const bodies = [
      new Uint8Array(2 ** 20).fill(9),
      new Uint8Array(0),
      Uint8Array.from({ length: 256 }, (_, byte) => byte),
    ];
    for (const body of bodies) expect((await replica.call("POST", path("a9"), body)).status).toBe(202);
    const entries = await readDown(replica, "a9", "orders", 3);
    expect(
      entries.map(({ bytes }) => Buffer.from(decodeDownEntry(bytes).messages[0]?.body ?? []).toString("hex")),
    ).toEqual(bodies.map((body) => Buffer.from(body).toString("hex")));
  });

  test("a wait ends with the outcome", async () => {
    await newAgent("a10");
    const waiting = replica.call("POST", path("a10"), utf8("x"), { prefer: "wait=20" });
    const [entry] = await readDown(replica, "a10", "orders", 1);
    if (entry === undefined) throw new TypeError("no entry");
    const at = entry.seq * 1_024;
    const status = { created: entry.created, stored: at, applied: at, at: 5 };
    await sendUp(replica, "a10", { plugin: "orders", generation: 0, first: 1, messages: [], status });
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(((await answer.json()) as { state: string }).state).toBe("applied");
    expect(answer.headers.get("preference-applied")).toBe("wait=20");
  });

  test("a licence's allowance counts over replicas and says when to come again", async () => {
    await addCustomer(replica, "small", 10);
    await newAgent("a11", "small");
    const two = await side.replica("two");
    const pushes = Array.from({ length: 30 }, (_, index) =>
      (index % 2 === 0 ? replica : two).call("POST", path("a11"), utf8("x")),
    );
    const answers = await Promise.all(pushes);
    const taken = answers.filter(({ status }) => status === 202).length;
    expect(taken).toBeGreaterThanOrEqual(1);
    expect(taken).toBeLessThanOrEqual(20); // a minute may end in between
    const refused = answers.find(({ status }) => status === 429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    await two[Symbol.asyncDispose]();
  });
});
