import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { fromUtf8, utf8 } from "#lib/bytes";
import { decodeDownEntry } from "#lib/session";
import {
  addAgent,
  addCustomer,
  addPlugin,
  DataSide,
  enrollAgent,
  type Replica,
  readDown,
  sendUp,
} from "#support/data-side";
import { eventually } from "#support/eventually";
import { type NatsServer, natsPassword, startNats } from "#support/nats-server";
import { needs } from "#support/needs";

setDefaultTimeout(30_000);

needs("nats-server", "apt-get install nats-server")("the data side over NATS", () => {
  let side: DataSide;
  let server: NatsServer;
  let replica: Replica;

  beforeAll(async () => {
    server = await startNats();
    side = await DataSide.make();
    replica = await side.replica("one", { nats: { url: server.url, password: natsPassword } });
    await addCustomer(replica, "acme");
    await addAgent(replica, "acme", "n1");
    await addPlugin(replica, "n1", "orders");
  });
  afterAll(async () => {
    await side[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const stateOf = async (id: string) =>
    ((await (await replica.call("GET", `/messages/${id}`)).json()) as { state: string }).state;

  test("push and its status, receive, desired state: before and after the server was killed", async () => {
    const keys = await enrollAgent(replica, "n1");
    await replica.messaging.identityChanged("n1");
    for (const round of [1, 2]) {
      const pushed = await replica.call("POST", "/agents/n1/plugins/orders/messages:batch", [
        { body: "a" },
        { body: "b" },
      ]);
      expect(pushed.status).toBe(202);
      const { items } = (await pushed.json()) as { items: { id: string }[] };
      const [entry] = await readDown(replica, "n1", "orders", 1);
      if (entry === undefined) throw new TypeError("no entry");
      expect(decodeDownEntry(entry.bytes).messages.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
      const at = entry.seq * 1_024;
      const status = { created: entry.created, stored: at + 1, applied: at, at: 1 };
      await sendUp(replica, "n1", {
        plugin: "orders",
        generation: 1,
        first: round,
        messages: [{ body: utf8(`${round}`) }],
        status,
      });
      const states = () => Promise.all(items.map(({ id }) => stateOf(id)));
      await eventually("states", async () => (await states()).join() === "applied,stored");
      await eventually("received", async () => (await replica.messaging.upWatermarks("n1"))[0]?.number === round);
      const value = await replica.broker.get({ kind: "desired", agent: "n1" });
      expect(fromUtf8(await keys.unseal(fromUtf8(value?.bytes ?? utf8("")))).split(".")).toHaveLength(3);
      if (round === 1) await server.crash();
    }
  }, 60_000);
});
