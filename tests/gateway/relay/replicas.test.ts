import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Broker, natsBroker, natsMessages } from "#lib/broker";
import { webSuite } from "#lib/crypto";
import type { MuxStream } from "#lib/link";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { eventually } from "../../support/eventually.ts";
import { FakeSolaris } from "../../support/fake-solaris.ts";
import { startNexus, type TestNexus } from "../../support/gateway-harness.ts";
import { type NatsServer, natsPassword, startNats } from "../../support/nats-server.ts";
import { needs } from "../../support/needs.ts";
import { e2ePair, RelayNode } from "../../support/relay-nodes.ts";

setDefaultTimeout(30_000);

needs("nats-server", "apt-get install nats-server")("two replicas", () => {
  let nats: NatsServer;
  let solaris: FakeSolaris;
  const stack = new AsyncDisposableStack();
  let replicas: TestNexus[];
  let names = 0;

  async function replica(): Promise<TestNexus> {
    const options = {
      servers: [nats.url],
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      password: natsPassword,
    };
    const broker: Broker = stack.use(await natsBroker({ ...options, name: "test", user: "nexus" }));
    const relayMessages = stack.use(await natsMessages({ ...options, name: "test relay", user: "nexus" }));
    return stack.use(await startNexus({ solaris, broker, relayMessages }));
  }

  beforeAll(async () => {
    nats = stack.use(await startNats());
    solaris = await FakeSolaris.create(webSuite);
    const options = {
      servers: [nats.url],
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      password: natsPassword,
    };
    stack.use(await natsBroker({ ...options, name: "solaris", user: "solaris", provision: true }));
    replicas = [await replica(), await replica()];
  });

  afterAll(async () => {
    await stack.disposeAsync();
  });

  async function node(at: number): Promise<RelayNode> {
    const { url } = replicas[at] ?? { url: "" };
    return RelayNode.open(webSuite, solaris, await solaris.addAgent(`agt_${++names}`), url);
  }

  async function read(stream: MuxStream, lengthBytes: number): Promise<Uint8Array> {
    const all = new Uint8Array(lengthBytes);
    for (let at = 0; at < lengthBytes; ) {
      const piece = await stream.read();
      if (piece === null) throw new RangeError("ended early");
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  describe("a pair over both", () => {
    test("carries streams in both directions, whole and in order", async () => {
      const [a, b] = [await node(0), await node(1)];
      const { a: near, b: far } = await e2ePair(webSuite, solaris, a, b);
      const taken = new Promise<MuxStream>((resolve) => far.onStream(resolve));
      const stream = near.open();
      const [up, down] = [systemRandom(8 * 1024 * 1024), systemRandom(8 * 1024 * 1024)];
      const writing = stream.write(up.slice());
      const there = await taken;
      const answering = there.write(down.slice());
      const [gotUp, gotDown] = await Promise.all([read(there, up.length), read(stream, down.length)]);
      expect(Buffer.compare(gotUp, up)).toBe(0);
      expect(Buffer.compare(gotDown, down)).toBe(0);
      await Promise.all([writing, answering]);
    });

    test("a tunnel that is lost at one is told at the other", async () => {
      const [a, b] = [await node(0), await node(1)];
      const { b: far } = await e2ePair(webSuite, solaris, a, b);
      void a.link.close("closed");
      expect((await far.closed).code).toBe("wire_lost");
    });

    test("a node that refuses is told with its code, one that is away with `offline`", async () => {
      const [a, b] = [await node(0), await node(1)];
      b.refuse = () => "identity_unexpected";
      await expect(a.ask(b.identifier)).rejects.toMatchObject({ detail: { code: "identity_unexpected" } });
      void b.link.close("closed");
      await b.link.closed;
      await eventually("it is away", async () => {
        const refusal = await a.ask(b.identifier).catch(({ detail }) => detail.code);
        return refusal === "offline";
      });
    });

    test("a replica that drains tells the nodes of the other", async () => {
      const third = await replica();
      const agent = await solaris.addAgent(`agt_${++names}`);
      const [a, b] = [await RelayNode.open(webSuite, solaris, agent, third.url), await node(1)];
      const { b: far } = await e2ePair(webSuite, solaris, a, b);
      const draining = third.nexus.drain();
      expect((await far.closed).code).toBe("wire_lost");
      await draining;
    });
  });
});
