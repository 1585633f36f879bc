import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect as rawNats } from "nats.ws";
import { type Broker, type NatsBrokerOptions, natsBroker } from "#lib/broker";
import { fromUtf8, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { cuttingProxy } from "../../support/cutting-proxy.ts";
import { collect } from "../../support/entry-collector.ts";
import { eventually } from "../../support/eventually.ts";
import { expectFault } from "../../support/faults.ts";
import { type NatsServer, natsPassword, startNats } from "../../support/nats-server.ts";
import { needs } from "../../support/needs.ts";

setDefaultTimeout(30_000);

needs("nats-server", "apt-get install nats-server")("NATS broker under faults", () => {
  let server: NatsServer;
  const open: Broker[] = [];
  const connect = async (options: Partial<NatsBrokerOptions> = {}): Promise<Broker> => {
    const broker = await natsBroker({
      servers: [server.url],
      user: "solaris",
      password: natsPassword,
      name: "test",
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      provision: true,
      ...options,
    });
    open.push(broker);
    return broker;
  };
  beforeAll(async () => {
    server = await startNats();
  });
  afterEach(async () => {
    for (const broker of open.splice(0)) await broker[Symbol.asyncDispose]();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  /** Publishes one after the other, each again under its id until it is acknowledged, as every caller must. */
  async function publishSurely(broker: Broker, plugin: string, count: number): Promise<void> {
    for (let number = 1; number <= count; number++) {
      await eventually(`entry ${number} is acknowledged`, async () => {
        await broker.publish({ kind: "down", agent: "a", plugin }, utf8(String(number)), `n${number}`);
        return true;
      });
    }
  }

  test("cuts in the middle: all entries come once, in order, to the reader of one opening", async () => {
    const port = Number(new URL(server.url).port);
    using proxy = cuttingProxy(port);
    const broker = await connect({ servers: [`ws://127.0.0.1:${proxy.port}`] });
    const reader = await collect(broker, { kind: "down", agent: "a", plugin: "cuts" }, { confirmAll: true });
    const publishing = publishSurely(broker, "cuts", 300);
    for (const reached of [40, 90, 150, 220]) {
      await reader.reached(reached);
      proxy.cut();
    }
    await publishing;
    await reader.reached(300);
    expect(reader.texts()).toEqual(Array.from({ length: 300 }, (_, index) => String(index + 1)));
    expect(reader.ended()).toBeUndefined();
  }, 30_000);

  test("SIGKILL of the server in the middle, twice: nothing acknowledged is missing, order holds", async () => {
    const broker = await connect();
    let restored = 0;
    broker.onRestored(() => {
      restored += 1;
    });
    const reader = await collect(broker, { kind: "down", agent: "a", plugin: "kills" }, { confirmAll: true });
    const publishing = publishSurely(broker, "kills", 150);
    for (const reached of [40, 90]) {
      await reader.reached(reached);
      await server.crash();
    }
    await publishing;
    await eventually("the last one is here", () => reader.texts().at(-1) === "150");
    // JetStream forgets the ids of what was confirmed: an entry whose acknowledgement was lost may be stored again.
    const once = reader.texts().filter((text, index, texts) => text !== texts[index - 1]);
    expect(once).toEqual(Array.from({ length: 150 }, (_, index) => String(index + 1)));
    expect(restored).toBe(2);
    await broker.check();
  }, 30_000);

  test("after a cut the former owner does not take a lane back from its new owner", async () => {
    using proxy = cuttingProxy(Number(new URL(server.url).port));
    const former = await connect({ servers: [`ws://127.0.0.1:${proxy.port}`], requestTimeoutMs: 1_000 });
    const lane = { kind: "down", agent: "a", plugin: "fence" } as const;
    const old = await collect(former, lane);
    proxy.hold();
    const other = await connect();
    const now = await collect(other, lane, { confirmAll: true });
    proxy.cut();
    proxy.release();
    await eventually("the former owner is told", () => old.ended()?.code === "displaced");
    await publishSurely(other, "fence", 5);
    await now.reached(5);
    expect(now.ended()).toBeUndefined();
    expect(old.entries.length).toBe(0);
  }, 30_000);

  test("a hole in the sequence, made by someone who takes entries away, is filled in order", async () => {
    const broker = await connect();
    const reader = await collect(broker, { kind: "down", agent: "a", plugin: "hole" }, { confirmAll: true });
    const thief = await rawNats({ servers: server.url, user: "solaris", pass: natsPassword });
    const manager = await thief.jetstreamManager();
    const streams = await manager.streams.list().next();
    const stream = streams.find(({ state }) => state.consumer_count > 0)?.config.name ?? "";
    const [consumer] = await manager.consumers.list(stream).next();
    thief.subscribe("stolen");
    const pull = JSON.stringify({ batch: 3, expires: 10_000_000_000 });
    thief.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer?.name}`, pull, { reply: "stolen" });
    await thief.flush();
    await publishSurely(broker, "hole", 30);
    await reader.reached(30);
    expect(reader.texts()).toEqual(Array.from({ length: 30 }, (_, index) => String(index + 1)));
    const [anew] = await manager.consumers.list(stream).next();
    expect(anew?.name).not.toBe(consumer?.name ?? "");
    await thief.close();
  }, 20_000);

  test("while the server is away calls fail at once or in time, and the broker can be disposed of", async () => {
    const broker = await connect({ requestTimeoutMs: 500 });
    const reader = await collect(broker, { kind: "down", agent: "a", plugin: "away" });
    await server.stop();
    try {
      await expectFault(broker.publish({ kind: "down", agent: "a", plugin: "away" }, utf8("x"), "x"), "broker");
      await expectFault(broker.check(), "broker");
      await expectFault(broker.get({ kind: "revocations" }), "broker");
      broker.send({ kind: "gateways" }, utf8("lost"));
      await broker[Symbol.asyncDispose]();
      expect(reader.ended()?.code).toBe("closed");
      await expectFault(connect({ requestTimeoutMs: 500 }), "broker");
    } finally {
      await server.start();
    }
  }, 30_000);

  test("a stream that is missing or set otherwise makes the broker unready, and says which", async () => {
    const broker = await connect();
    const fault = await expectFault(connect({ provision: false, sizes: { downLaneEntries: 7 } }), "broker_settings");
    expect(fault.detail.what).toBe("max_msgs_per_subject");
    const mended = await connect({ sizes: { downLaneEntries: 7 } });
    await mended.check();
    await expectFault(broker.check(), "broker_settings");
    await connect();
    await broker.check();
  });

  test("several that make the streams at once agree on them", async () => {
    await using fresh = await startNats();
    const brokers = await Promise.all(Array.from({ length: 4 }, () => connect({ servers: [fresh.url] })));
    const lane = { kind: "down", agent: "a", plugin: "p" } as const;
    const receipts = await Promise.all(brokers.map((broker, index) => broker.publish(lane, utf8("x"), `p${index}`)));
    expect(new Set(receipts.map(({ created }) => created)).size).toBe(1);
    for (const broker of open.splice(0)) await broker[Symbol.asyncDispose]();
  }, 20_000);

  test("a wrong password is refused", async () => {
    const fault = await expectFault(connect({ password: "wrong" }), "broker");
    expect(fault.detail.reason).toBe("AUTHORIZATION_VIOLATION");
  });

  test("the user nexus reads lanes and presence, but neither up nor events, and changes no stream", async () => {
    const solaris = await connect();
    const nexus = await connect({ user: "nexus", provision: false, requestTimeoutMs: 300 });
    const reader = await collect(nexus, { kind: "down", agent: "a", plugin: "rights" }, { confirmAll: true });
    await publishSurely(solaris, "rights", 3);
    await reader.reached(3);
    const second = await collect(nexus, { kind: "down", agent: "a", plugin: "rights" });
    expect(reader.ended()?.code).toBe("displaced");
    await second.source.close();
    await nexus.publish({ kind: "up", agent: "a", plugin: "p" }, utf8("u"), "u");
    await nexus.put({ kind: "agent", agent: "a", slot: 0 }, utf8("here"), { expect: 0 });
    expect((await nexus.list("agent")).length).toBe(1);
    await solaris.put({ kind: "desired", agent: "a" }, utf8("d"));
    expect(fromUtf8((await nexus.get({ kind: "desired", agent: "a" }))?.bytes ?? utf8(""))).toBe("d");
    await nexus.check();

    const denied = (work: Promise<unknown>) => expectFault(work, "broker");
    const nobody = { onEntry: () => undefined, onClosed: () => undefined };
    await denied(nexus.open({ kind: "up" }, nobody));
    await denied(nexus.open({ kind: "event" }, nobody));
    await denied(nexus.put({ kind: "desired", agent: "a" }, utf8("forged")));
    await denied(nexus.put({ kind: "revocations" }, utf8("forged")));
    await denied(nexus.publish({ kind: "down", agent: "a", plugin: "p" }, utf8("forged"), "f"));
    await denied(nexus.publish({ kind: "command", agent: "a" }, utf8("forged"), "f"));
    const refused = await connect({ user: "nexus", sizes: { downLaneEntries: 9 }, requestTimeoutMs: 300 }).catch(
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(Fault);
  }, 20_000);
});
