import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Bytes } from "#lib/bytes";
import { type CryptoSuite, webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { MuxStream } from "#lib/link";
import { systemRandom } from "#lib/runtime";
import { cuttingProxy } from "../../support/cutting-proxy.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeSolaris } from "../../support/fake-solaris.ts";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "../../support/gateway-harness.ts";
import { e2ePair, RelayNode } from "../../support/relay-nodes.ts";

const suite: CryptoSuite = webSuite;
let solaris: FakeSolaris;
let own: OwnBroker;
let nexus: TestNexus;
let names = 0;

beforeAll(async () => {
  solaris = await FakeSolaris.create(suite);
  own = await ownBroker();
  nexus = await startNexus({ solaris, broker: own.broker });
});

afterAll(async () => {
  await nexus?.[Symbol.asyncDispose]();
  await own?.[Symbol.asyncDispose]();
});

async function node(customer = "cus_a"): Promise<RelayNode> {
  return RelayNode.open(suite, solaris, await solaris.addAgent(`agt_${++names}`, customer), nexus.url);
}

async function codeOf(refused: Promise<unknown>): Promise<unknown> {
  const fault = await refused.catch((error: unknown) => error);
  return fault instanceof Fault ? (fault.detail.code ?? fault.code) : "not refused";
}

async function bytesOf(stream: MuxStream, lengthBytes: number): Promise<Bytes> {
  const all = new Uint8Array(lengthBytes);
  for (let at = 0; at < lengthBytes; ) {
    const piece = await stream.read();
    if (piece === null) throw new RangeError("ended early");
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

test("two nodes talk end to end over one Nexus, and each knows who the other is", async () => {
  const [a, b] = [await node(), await node()];
  const { a: near, b: far } = await e2ePair(suite, solaris, a, b);
  expect(near.peer.identity.identifier).toBe(b.identifier);
  expect(far.peer.identity.identifier).toBe(a.identifier);
  const taken = new Promise<MuxStream>((resolve) => far.onStream(resolve));
  const stream = near.open();
  const sent = systemRandom(3 * 1024 * 1024);
  const writing = stream.write(sent.slice()).then(() => stream.end());
  const there = await taken;
  const got = await bytesOf(there, sent.length);
  expect(Buffer.compare(got, sent)).toBe(0);
  expect(await there.read()).toBeNull();
  await writing;
  await near.close("closed");
  expect((await far.closed).code).toBe("closed");
});

test("every refusal comes back with its code within 2 s", async () => {
  const [a, b, stranger] = [await node(), await node(), await node("cus_b")];
  const offline = await solaris.addAgent(`agt_${++names}`);
  const beganMs = performance.now();
  expect(await codeOf(a.ask(`I${"0".repeat(64)}`))).toBe("not_found");
  expect(await codeOf(a.ask(stranger.identifier))).toBe("not_found");
  expect(await codeOf(a.ask(offline.keys.identity.identifier))).toBe("offline");
  expect(await codeOf(a.ask(a.identifier))).toBe("bad_request");
  b.refuse = () => "identity_unexpected";
  expect(await codeOf(a.ask(b.identifier))).toBe("identity_unexpected");
  solaris.joined = new Set();
  expect(await codeOf(a.ask(b.identifier))).toBe("forbidden");
  solaris.joined = null;
  expect(performance.now() - beganMs).toBeLessThan(2_000);
  b.refuse = () => "silent";
  const askedMs = performance.now();
  expect(await codeOf(a.ask(b.identifier))).toBe("timeout");
  expect(performance.now() - askedMs).toBeLessThan(2_000);
  solaris.down = true;
  expect(await codeOf(a.ask(b.identifier))).toBe("unavailable");
  solaris.down = false;
});

test("who asks too often is told so, and its tunnel stays", async () => {
  const a = await node();
  const codes = await Promise.all(Array.from({ length: 200 }, () => codeOf(a.ask(`I${"0".repeat(64)}`))));
  expect(new Set(codes)).toEqual(new Set(["not_found", "limited"]));
  expect(nexus.nexus.health().ready).toBe(true);
  a.link.probe();
  await eventually("the tunnel answers", () => a.link.ping().count > 0);
});

test("a relay id that was never given ends the tunnel that named it, and no other", async () => {
  const [a, b] = [await node(), await node()];
  const { id } = await a.ask(b.identifier);
  a.sendRelay(id + 7, new Uint8Array([1, 2, 3]));
  expect((await a.link.closed).code).toBe("bad_request");
  await eventually("b is told", () => b.closed.size > 0);
  expect([...b.closed.values()]).toEqual(["wire_lost"]);
  expect(b.strays).toEqual([]);
});

test("a wire that was closed stays closed: its id is not given again, and what comes late reaches nobody", async () => {
  const [a, b] = [await node(), await node()];
  const first = await a.ask(b.identifier);
  first.wire.close(1000, "");
  await eventually("b is told", () => b.closed.size === 1);
  a.sendRelay(first.id, new Uint8Array([1, 2, 3]));
  const second = await a.ask(b.identifier);
  expect(second.id).toBeGreaterThan(first.id);
  expect(b.strays).toEqual([]);
});

test("losing a tunnel tells the other end at once", async () => {
  const [a, b] = [await node(), await node()];
  const { b: far } = await e2ePair(suite, solaris, a, b);
  const beganMs = performance.now();
  void a.link.close("closed");
  expect((await far.closed).code).toBe("wire_lost");
  expect(performance.now() - beganMs).toBeLessThan(1_000);
});

test("a receiver that stops reading stops its stream, and neither another pair nor the tunnel's ping", async () => {
  const [a, b, c] = [await node(), await node(), await node()];
  const stalled = await e2ePair(suite, solaris, a, b);
  const other = await e2ePair(suite, solaris, a, c);
  stalled.b.onStream(() => undefined); // never read
  const stuck = stalled.a.open();
  let written = 0;
  const chunk = 64 * 1024;
  const pump = async () => {
    for (;;) {
      await stuck.write(new Uint8Array(chunk));
      written += chunk;
    }
  };
  pump().catch(() => undefined); // the end of the test
  const taken = new Promise<MuxStream>((resolve) => other.b.onStream(resolve));
  const stream = other.a.open();
  const sent = systemRandom(4 * 1024 * 1024);
  void stream.write(sent.slice()).then(() => stream.end());
  expect(Buffer.compare(await bytesOf(await taken, sent.length), sent)).toBe(0);
  expect(written).toBeLessThan(2 * 1024 * 1024);
  const before = a.link.ping().count;
  a.link.probe();
  await eventually("the tunnel's ping comes back", () => a.link.ping().count > before);
  expect(a.link.ping().lastMs).toBeLessThan(50);
});

test("a pair that sends more than is taken is closed at both ends with a code; both tunnels and another pair go on", async () => {
  using proxy = cuttingProxy(Number(new URL(nexus.origin).port));
  const [a, c] = [await node(), await node()];
  const behind = await solaris.addAgent(`agt_${++names}`);
  const b = await RelayNode.open(suite, solaris, behind, `ws://127.0.0.1:${proxy.port}/tunnel`);
  const { id } = await a.ask(b.identifier);
  const other = await e2ePair(suite, solaris, a, c);
  proxy.hold("up"); // b's tunnel says nothing any more: what was sent to it is not known to have come
  const flood = new Uint8Array(60_000);
  await eventually("the pair is closed at the sender", () => {
    if (!a.closed.has(id)) for (let sent = 0; sent < 64; sent++) a.sendRelay(id, flood);
    return a.closed.has(id);
  });
  expect(a.closed.get(id)).toBe("limited");
  const taken = new Promise<MuxStream>((resolve) => other.b.onStream(resolve));
  const sent = systemRandom(1024 * 1024);
  void other.a.open().write(sent.slice());
  expect(Buffer.compare(await bytesOf(await taken, sent.length), sent)).toBe(0);
  proxy.release();
  await eventually("b is told", () => b.closed.size === 1);
  expect([...b.closed.values()]).toEqual(["limited"]);
});
