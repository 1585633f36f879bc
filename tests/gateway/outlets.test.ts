import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Bytes, concat, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { Link, MuxStream } from "#lib/link";
import { encodeOpening } from "#lib/portal";
import { type OutletAnswer, sessionStreams } from "#lib/session";
import { eventually } from "#support/eventually";
import { FakeSession, openTunnel } from "#support/fake-agent-tunnel";
import { FakeSolaris } from "#support/fake-solaris";
import { freePort } from "#support/free-port";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "#support/gateway-harness";
import { serveTcp, type TestServer } from "#support/tcp-peers";

setDefaultTimeout(30_000);

let solaris: FakeSolaris;
let own: OwnBroker;
let nexus: TestNexus;
let echo: TestServer;
let names = 0;
const unlisted = freePort();

beforeAll(async () => {
  solaris = await FakeSolaris.create(webSuite);
  own = await ownBroker();
  echo = serveTcp();
  const outlets = [`127.0.0.1:${echo.port}`, "named.invalid:80", "169.254.0.0/16:*", "0.0.0.0/0:80"];
  nexus = await startNexus({ solaris, broker: own.broker, settings: { outlets } });
});
afterAll(async () => {
  await nexus?.[Symbol.asyncDispose]();
  await own?.[Symbol.asyncDispose]();
  echo?.[Symbol.dispose]();
});
afterEach(() => {
  solaris.outlets.clear();
  solaris.down = false;
});

/** An agent with an open session, and its identifier. */
async function site(customer = "cus_a"): Promise<{ link: Link; identifier: string }> {
  const agent = await solaris.addAgent(`agt_${++names}`, customer);
  const link = await openTunnel(webSuite, solaris, agent, nexus.url);
  await FakeSession.begin(link);
  return { link, identifier: agent.keys.identity.identifier };
}

function portal(id: string, identifier: string, change: Partial<OutletAnswer> = {}): void {
  solaris.outlets.set(id, {
    customerId: "cus_a",
    name: id,
    mode: "terminated",
    protocol: "tcp",
    target: { host: "127.0.0.1", port: echo.port },
    connectTimeoutMs: 1_000,
    connectionsMax: 100,
    nodes: [identifier],
    policy: null,
    ...change,
  });
}

async function open(link: Link, portalId: string, more: Bytes = new Uint8Array(0)): Promise<MuxStream> {
  const stream = link.open();
  await stream.write(concat(encodeOpening({ portal: portalId }), more));
  return stream;
}

async function codeOf(stream: MuxStream): Promise<string> {
  try {
    while ((await stream.read()) !== null);
    return "ended";
  } catch (error) {
    return error instanceof Fault ? String(error.detail.code ?? error.code) : "no fault";
  }
}

async function text(stream: MuxStream, length: number): Promise<string> {
  let all: Bytes = new Uint8Array(0);
  while (all.length < length) {
    const piece = await stream.read();
    if (piece === null) break;
    all = concat(all, piece);
  }
  return Buffer.from(all).toString("latin1");
}

test("a stream ends here, in one connection to the portal's target; half-close goes both ways", async () => {
  const { link, identifier } = await site();
  portal("prt_1", identifier);
  const stream = await open(link, "prt_1", utf8("hello"));
  expect(await text(stream, 7)).toBe("\x01\x02hello");
  stream.end();
  expect(await stream.read()).toBeNull();
  const cut = await open(link, "prt_1", utf8("x"));
  expect(await text(cut, 3)).toBe("\x01\x02x");
  cut.reset("closed");
  expect(await echo.connections.at(-1)?.closed).toBe("reset");
});

test("Solaris is asked for every one: a portal that it does not say, of another mode or customer, is refused and reaches nothing", async () => {
  const { link, identifier } = await site();
  const before = echo.connections.length;
  expect(await codeOf(await open(link, "prt_none"))).toBe("not_found");
  portal("prt_e2e", identifier, { mode: "e2e" as never });
  expect(await codeOf(await open(link, "prt_e2e"))).toBe("unavailable"); // no answer to this question
  portal("prt_other", identifier, { customerId: "cus_b" });
  expect(await codeOf(await open(link, "prt_other"))).toBe("not_found");
  portal("prt_http", identifier, { protocol: "http" });
  expect(await codeOf(await open(link, "prt_http"))).toBe("forbidden");
  portal("prt_node", identifier, { nodes: [`I${"0".repeat(64)}`] });
  expect(await codeOf(await open(link, "prt_node"))).toBe("forbidden");
  portal("prt_1", identifier);
  solaris.down = true;
  expect(await codeOf(await open(link, "prt_1"))).toBe("unavailable");
  solaris.down = false;
  expect(echo.connections).toHaveLength(before);
  expect(await text(await open(link, "prt_1"), 2)).toBe("\x01\x02");
});

test("the operator's own list has the last word: unlisted targets, names that lead to this machine, link-local and metadata", async () => {
  const { link, identifier } = await site();
  const refused = async (host: string, port: number) => {
    portal("prt_1", identifier, { target: { host, port } });
    return codeOf(await open(link, "prt_1"));
  };
  expect(await refused("127.0.0.1", unlisted)).toBe("not_allowed_here");
  expect(await refused("127.0.0.2", echo.port)).toBe("not_allowed_here");
  expect(await refused("169.254.169.254", 80)).toBe("not_allowed_here"); // though two lines name it
  expect(await refused("::ffff:169.254.169.254", 80)).toBe("not_allowed_here");
  expect(await refused("0.0.0.0", 80)).toBe("not_allowed_here");
  expect(await refused("named.invalid", 80)).toBe("system_unavailable");
});

test("a Nexus without a list connects to nothing, and does not even ask", async () => {
  await using bare = await startNexus({ solaris, broker: own.broker });
  const agent = await solaris.addAgent(`agt_${++names}`);
  const link = await openTunnel(webSuite, solaris, agent, bare.url);
  await FakeSession.begin(link);
  portal("prt_1", agent.keys.identity.identifier);
  const asked = solaris.calls.get("outlet") ?? 0;
  expect(await codeOf(await open(link, "prt_1"))).toBe("not_allowed_here");
  expect(solaris.calls.get("outlet") ?? 0).toBe(asked);
});

test("a policy of the portal is judged here, by the session's own credential", async () => {
  const { link, identifier } = await site();
  const policy = (allow: string) => ({ id: "pol_1", name: "p", version: 1, rules: [{ name: "r", allow }] });
  portal("prt_1", identifier, { policy: policy("subject.role == 'gateway'") });
  expect(await codeOf(await open(link, "prt_1"))).toBe("forbidden");
  portal("prt_1", identifier, { policy: policy("subject.role == 'edge'"), nodes: [] });
  expect(await text(await open(link, "prt_1"), 2)).toBe("\x01\x02");
  portal("prt_1", identifier, { policy: policy("subject.role ==") });
  expect(await codeOf(await open(link, "prt_1"))).toBe("invalid");
});

test("what is open ends within 5 s when Solaris takes the portal back, or it leads elsewhere; not while Solaris is away", async () => {
  const { link, identifier } = await site();
  portal("prt_gone", identifier);
  portal("prt_moved", identifier);
  portal("prt_stays", identifier);
  const [gone, moved, stays] = [
    await open(link, "prt_gone"),
    await open(link, "prt_moved"),
    await open(link, "prt_stays"),
  ];
  for (const stream of [gone, moved, stays]) expect(await text(stream, 2)).toBe("\x01\x02");
  solaris.outletAway = true;
  const asked = solaris.calls.get("outlet") ?? 0;
  await eventually("they are judged", () => (solaris.calls.get("outlet") ?? 0) >= asked + 3, { timeoutMs: 6_000 });
  solaris.outletAway = false;
  solaris.outlets.delete("prt_gone");
  portal("prt_moved", identifier, { target: { host: "127.0.0.1", port: unlisted } });
  const beganMs = performance.now();
  expect(await Promise.all([codeOf(gone), codeOf(moved)])).toEqual(["not_found", "closed"]);
  expect(performance.now() - beganMs).toBeLessThan(5_000);
  await stays.write(utf8("still"));
  expect(await text(stays, 5)).toBe("still");
  stays.reset("closed");
});

test("no more than the portal allows; a session's end ends its connections", async () => {
  const { link, identifier } = await site();
  portal("prt_1", identifier, { connectionsMax: 1 });
  const first = await open(link, "prt_1");
  expect(await text(first, 2)).toBe("\x01\x02");
  const served = echo.connections.at(-1);
  expect(await codeOf(await open(link, "prt_1"))).toBe("limited");
  void link.close("closed");
  expect(await served?.closed).toBe("reset");
});

test("what is no opening is refused; a session's own streams have no second meaning", async () => {
  const { link } = await site();
  const bad = link.open();
  await bad.write(new Uint8Array([0xff, 0xff, 1]));
  expect(await codeOf(bad)).toBe("too_large");
  const again = link.open(sessionStreams.control);
  await again.write(encodeOpening({ portal: "prt_1" }));
  expect(await codeOf(again)).toBe("not_found");
});

test("a service that reads nothing stops its own stream, and neither another nor the session's ping", async () => {
  using stalled = serveTcp({ open: (connection) => connection.socket?.pause(), data: () => undefined });
  const outlets = [`127.0.0.1:${stalled.port}`, `127.0.0.1:${echo.port}`];
  await using other = await startNexus({ solaris, broker: own.broker, settings: { outlets } });
  const agent = await solaris.addAgent(`agt_${++names}`);
  const link = await openTunnel(webSuite, solaris, agent, other.url);
  await FakeSession.begin(link);
  const { identifier } = agent.keys.identity;
  portal("prt_stalled", identifier, { target: { host: "127.0.0.1", port: stalled.port } });
  portal("prt_1", identifier);
  const stuck = await open(link, "prt_stalled");
  expect(await text(stuck, 2)).toBe("\x01\x02");
  let written = 0;
  const pump = async () => {
    for (;;) {
      await stuck.write(new Uint8Array(64 * 1_024));
      written += 64 * 1_024;
    }
  };
  pump().catch(() => undefined); // the end of the test
  let before = -1;
  await eventually(
    "it is stopped",
    () => {
      const still = written === before && written > 0;
      before = written;
      return still;
    },
    { everyMs: 300 },
  );
  expect(written).toBeLessThan(32 * 1_024 * 1_024);
  expect(await text(await open(link, "prt_1", utf8("beside")), 8)).toBe("\x01\x02beside");
  const pings = link.ping().count;
  link.probe();
  await eventually("the ping comes back", () => link.ping().count > pings);
  expect(link.ping().lastMs).toBeLessThan(100);
  await link.close("closed");
});
