import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { webSuite } from "#lib/crypto";
import type { Link, MuxStream } from "#lib/link";
import { FakeSolaris } from "../../support/fake-solaris.ts";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "../../support/gateway-harness.ts";
import { e2ePair, RelayNode } from "../../support/relay-nodes.ts";
import { slowProxy } from "../../support/slow-proxy.ts";

setDefaultTimeout(60_000);

const bytesPerSecond = 1_250_000; // 10 Mbit/s
let solaris: FakeSolaris;
let own: OwnBroker;
let nexus: TestNexus;
let proxy: ReturnType<typeof slowProxy>;

beforeAll(async () => {
  solaris = await FakeSolaris.create(webSuite);
  own = await ownBroker();
  nexus = await startNexus({ solaris, broker: own.broker });
  proxy = slowProxy(Number(new URL(nexus.origin).port), bytesPerSecond);
});

afterAll(async () => {
  proxy?.[Symbol.dispose]();
  await nexus?.[Symbol.asyncDispose]();
  await own?.[Symbol.asyncDispose]();
});

/** How long the next pong takes from a probe on, again and again, ms, sorted. */
async function pings(link: Link, count: number): Promise<number[]> {
  const took: number[] = [];
  while (took.length < count) {
    const { count: pongs, lastMs } = link.ping();
    const beganMs = performance.now();
    link.probe();
    // The links keeps 128 of them: a full count does not change any more, the newest one does.
    const came = () => link.ping().count !== pongs || link.ping().lastMs !== lastMs;
    while (!came() && performance.now() - beganMs < 3_000) await new Promise<void>((resolve) => setTimeout(resolve, 1));
    took.push(came() ? link.ping().lastMs : 3_000);
  }
  return took.toSorted((a, b) => a - b);
}

const median = (sorted: readonly number[]) => sorted[Math.floor(sorted.length / 2)] ?? 0;

for (const direction of ["towards", "from"] as const)
  test(`a saturated stream ${direction} a node behind 10 Mbit/s fills the line and adds at most 50 ms to its tunnel's ping`, async () => {
    const near = await RelayNode.open(webSuite, solaris, await solaris.addAgent(`near-${direction}`), nexus.url);
    const behind = await solaris.addAgent(`far-${direction}`);
    const far = await RelayNode.open(webSuite, solaris, behind, `ws://127.0.0.1:${proxy.port}/tunnel`);
    const pair = await e2ePair(webSuite, solaris, near, far);
    const [sender, receiver] = direction === "towards" ? [pair.a, pair.b] : [pair.b, pair.a];
    const taken = new Promise<MuxStream>((resolve) => receiver.onStream(resolve));
    const idle = await pings(far.link, 10);
    const stream = sender.open();
    let going = true;
    const send = async () => {
      while (going) await stream.write(new Uint8Array(16 * 1_024));
    };
    send().catch(() => undefined); // reset below
    let gotBytes = 0;
    const read = async () => {
      for (let piece = await (await taken).read(); piece !== null; piece = await (await taken).read())
        gotBytes += piece.length;
    };
    read().catch(() => undefined); // reset below
    await new Promise<void>((resolve) => setTimeout(resolve, 2_000)); // until rates are known on both hops
    const [fromBytes, fromMs] = [gotBytes, performance.now()];
    const busy = await pings(far.link, 40);
    const rate = ((gotBytes - fromBytes) * 1_000) / (performance.now() - fromMs);
    going = false;
    stream.reset("closed");
    expect(median(busy) - median(idle)).toBeLessThan(50);
    expect(rate).toBeGreaterThan(bytesPerSecond * 0.6);
  });

test("a node that heeds no window waits in Nexus, and the tunnel of the other answers all the same", async () => {
  const near = await RelayNode.open(webSuite, solaris, await solaris.addAgent("flooding"), nexus.url);
  const behind = await solaris.addAgent("flooded");
  const far = await RelayNode.open(webSuite, solaris, behind, `ws://127.0.0.1:${proxy.port}/tunnel`);
  const { id } = await near.ask(far.identifier);
  far.offers[0]?.wire.receive({ message: () => undefined, closed: () => undefined });
  const idle = await pings(far.link, 10);
  const flood = new Uint8Array(16 * 1_024);
  for (let sent = 0; sent < 400; sent++) near.sendRelay(id, flood); // 6 MiB: five seconds of the line
  await new Promise<void>((resolve) => setTimeout(resolve, 1_000)); // until the rate is known
  const busy = await pings(far.link, 7); // while the flood still lasts
  expect(near.closed.size).toBe(0);
  expect(Math.max(...busy) - median(idle)).toBeLessThan(500); // seconds lie in front of it
});
