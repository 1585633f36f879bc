import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Broker, Entry } from "#lib/broker";
import { utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { laneUnconfirmedMax, sessionMessageBytesMax } from "#lib/limits";
import { encodeEntry } from "#lib/session";
import { eventually } from "../support/eventually.ts";
import { FakeSession, openTunnel } from "../support/fake-agent-tunnel.ts";
import { type FakeAgent, FakeSolaris } from "../support/fake-solaris.ts";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "../support/gateway-harness.ts";

setDefaultTimeout(30_000);

const suite = webSuite;
let own: OwnBroker;
let broker: Broker;
let solaris: FakeSolaris;
let nexus: TestNexus;
let agent: FakeAgent;
let agents = 0;

beforeAll(async () => {
  own = await ownBroker();
  broker = own.broker;
  solaris = await FakeSolaris.create(suite);
  nexus = await startNexus({ solaris, broker });
});

afterAll(async () => {
  await nexus[Symbol.asyncDispose]();
  await own[Symbol.asyncDispose]();
});

beforeEach(async () => {
  agent = await solaris.addAgent(`lane_${++agents}`);
});

const begin = async (slot: 0 | 1 = 0, at: TestNexus = nexus) =>
  FakeSession.begin(await openTunnel(suite, solaris, agent, at.url, { slot }));

let pushed = 0;
const push = (body: Uint8Array, plugin = "erp") =>
  broker.publish({ kind: "down", agent: agent.agentId, plugin }, body, `p${++pushed}`);

async function openLane(session: FakeSession, plugin = "erp", cursor: { created: string; seq: number } | null = null) {
  await session.down.send({ type: "open", plugin, cursor });
  return (await session.down.until("opened")).created;
}

describe("down lanes", () => {
  test("entries go on as the bytes they are, in order", async () => {
    await push(utf8("one"));
    const session = await begin();
    const created = await openLane(session);
    await push(utf8("two"));
    const first = await session.down.until("entry");
    const second = await session.down.until("entry");
    expect([first.body, second.body]).toEqual([utf8("one"), utf8("two")]);
    expect(first.cursor.created).toBe(created);
    expect(second.cursor.seq).toBeGreaterThan(first.cursor.seq);
    await session.link.close("closed");
  });

  test("what was not stored comes again, what was stored does not", async () => {
    for (const body of ["a", "b", "c"]) await push(utf8(body));
    const first = await begin();
    await openLane(first);
    const a = await first.down.until("entry");
    await first.down.send({ type: "stored", plugin: "erp", cursor: a.cursor });
    await first.link.close("closed");
    const second = await begin();
    await openLane(second, "erp", a.cursor);
    expect((await second.down.until("entry")).body).toEqual(utf8("b"));
    expect((await second.down.until("entry")).body).toEqual(utf8("c"));
    await second.link.close("closed");
  });

  test("confirmations reach the broker", async () => {
    await push(utf8("a"));
    const session = await begin();
    await openLane(session);
    const { cursor } = await session.down.until("entry");
    await session.down.send({ type: "stored", plugin: "erp", cursor });
    await openLane(session, "erp", cursor); // the opening before is closed, and what it confirmed has gone out
    await session.link.close("closed");
    // A reader without a cursor sees what the broker still holds.
    const seen: Entry[] = [];
    const lane = { kind: "down", agent: agent.agentId, plugin: "erp" } as const;
    const source = await broker.open(lane, { onEntry: (entry) => seen.push(entry), onClosed: () => undefined });
    await push(utf8("marker"));
    await eventually("the marker", () => seen.length > 0);
    await source.close();
    expect(seen[0]?.bytes).toEqual(utf8("marker"));
  });

  test("a lane opened on a second tunnel is fenced on the first, which is told", async () => {
    const first = await begin(0);
    const second = await begin(1);
    await openLane(first);
    await push(utf8("a"));
    const entry = await first.down.until("entry");
    await openLane(second);
    expect((await first.down.until("refused")).code).toBe("displaced");
    expect((await second.down.until("entry")).cursor).toEqual(entry.cursor);
    await first.link.close("closed");
    await second.link.close("closed");
  });

  test("a lane is taken over by another replica, with what is unconfirmed and its order", async () => {
    await using other = await startNexus({ solaris, broker });
    for (const body of ["a", "b", "c"]) await push(utf8(body));
    const first = await begin(0);
    await openLane(first);
    await first.down.until("entry");
    const second = await begin(1, other);
    await openLane(second);
    const bodies = [];
    for (let index = 0; index < 3; index++) bodies.push((await second.down.until("entry")).body);
    expect(bodies).toEqual([utf8("a"), utf8("b"), utf8("c")]);
    await first.link.close("closed");
    await second.link.close("closed");
  });

  test("opening again on the same tunnel begins anew behind the cursor", async () => {
    await push(utf8("a"));
    await push(utf8("b"));
    const session = await begin();
    await openLane(session);
    const a = await session.down.until("entry");
    await session.down.until("entry");
    await openLane(session, "erp", a.cursor);
    expect((await session.down.until("entry")).body).toEqual(utf8("b"));
    await session.link.close("closed");
  });

  test("an agent that stores nothing gets no more than may be unconfirmed; other lanes go on", async () => {
    for (let index = 0; index < laneUnconfirmedMax + 20; index++) await push(utf8(`m${index}`));
    await push(utf8("other"), "files");
    const session = await begin();
    await openLane(session);
    for (let index = 0; index < laneUnconfirmedMax; index++) await session.down.until("entry");
    await session.down.send({ type: "open", plugin: "files", cursor: null });
    const next = await session.down.next();
    expect(next).toMatchObject({ type: "opened", plugin: "files" });
    const entry = await session.down.until("entry");
    expect(entry.plugin).toBe("files");
    await session.link.close("closed");
  });

  test("stored beyond what was sent ends the session: it would lose messages", async () => {
    await push(utf8("a"));
    const session = await begin();
    await openLane(session);
    const { cursor } = await session.down.until("entry");
    await session.down.send({ type: "stored", plugin: "erp", cursor: { ...cursor, seq: cursor.seq + 1 } });
    expect((await session.link.closed).code).toBe("bad_request");
  });

  test("a lane that was closed gets nothing more", async () => {
    const session = await begin();
    await openLane(session);
    await session.down.send({ type: "close", plugin: "erp" });
    await openLane(session, "files");
    await push(utf8("late"));
    await push(utf8("file"), "files");
    expect((await session.down.until("entry")).plugin).toBe("files");
    await session.link.close("closed");
  });

  test("more lanes than an agent may have are refused", async () => {
    const session = await begin();
    for (let index = 0; index < 65; index++)
      await session.down.send({ type: "open", plugin: `p${index}`, cursor: null });
    const refused = await session.down.until("refused");
    expect(refused).toEqual({ type: "refused", plugin: "p64", code: "limited" });
    await session.link.close("closed");
  });

  test("a reader that does not read its stream costs a bounded queue and loses nothing", async () => {
    const body = new Uint8Array(200 * 1024).fill(7);
    for (let index = 0; index < 30; index++) await push(body);
    const session = await begin();
    await session.down.send({ type: "open", plugin: "erp", cursor: null });
    await session.control.send({ type: "refresh" });
    await session.control.until("credential"); // control is not behind data
    await session.down.until("opened");
    for (let index = 0; index < 30; index++) {
      const { cursor, body: got } = await session.down.until("entry");
      expect(got.length).toBe(body.length);
      await session.down.send({ type: "stored", plugin: "erp", cursor });
    }
    await session.link.close("closed");
  });
});

describe("up lanes", () => {
  const received: Entry[] = [];
  beforeAll(async () => {
    const source = await broker.open(
      { kind: "up" },
      {
        onEntry(entry) {
          received.push(entry);
          source.confirm(entry.seq);
        },
        onClosed: () => undefined,
      },
    );
  });
  const ofAgent = () => received.filter((entry) => entry.agent === agent.agentId);

  test("entries reach the broker under the session's agent, and are answered", async () => {
    const session = await begin();
    const body = encodeEntry({ v: 1, plugin: "erp", generation: 1, first: 1, messages: [] });
    await session.publish("erp", 1, body, 0);
    expect(await session.up.next()).toEqual({ type: "published", plugin: "erp", generation: 1, first: 1, count: 0 });
    const [entry] = await eventually("the entry", () => (ofAgent().length > 0 ? ofAgent() : undefined));
    expect(entry).toMatchObject({ agent: agent.agentId, plugin: "erp" });
    expect(entry?.bytes).toEqual(body);
    await session.link.close("closed");
  });

  test("the same entry sent again is stored once; another body at the same place is another entry", async () => {
    const session = await begin();
    for (const body of ["same", "same", "more"]) {
      await session.publish("$node", 1, utf8(body));
      await session.up.until("published");
    }
    await eventually("both", () => ofAgent().length === 2);
    expect(ofAgent().map(({ bytes }) => bytes)).toEqual([utf8("same"), utf8("more")]);
    await session.link.close("closed");
  });

  test("two entries of one lane in flight end the session", async () => {
    const session = await begin();
    await Promise.all([session.publish("erp", 1, utf8("a")), session.publish("erp", 2, utf8("b"))]);
    expect((await session.link.closed).code).toBe("bad_request");
  });

  test("names and sizes outside the schema end the session", async () => {
    const session = await begin();
    const stream = session.link.open(utf8("up".padEnd(16, "\0")));
    await stream.write(new Uint8Array([0, 0, 0, 3, 1, 2, 3]));
    expect(["malformed", "invalid"]).toContain((await session.link.closed).code);
    const other = await begin();
    const large = other.link.open(utf8("down".padEnd(16, "\0")));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, sessionMessageBytesMax + 1);
    await large.write(length);
    expect((await other.link.closed).code).toBe("too_large");
  });
});
