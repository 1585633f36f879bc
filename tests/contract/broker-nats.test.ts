import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { connect } from "nats.ws";
import { type Broker, natsBroker } from "#lib/broker";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { type NatsServer, natsPassword, startNats } from "../support/nats-server.ts";
import { needs } from "../support/needs.ts";
import { brokerContract } from "./broker.ts";

setDefaultTimeout(30_000);

needs("nats-server", "apt-get install nats-server")("NATS broker", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  brokerContract(async () => {
    const open: Broker[] = [];
    await emptied(server);
    return {
      laneFullWithin: 50,
      async connect() {
        const broker = await natsBroker({
          servers: [server.url],
          user: "solaris",
          password: natsPassword,
          name: "contract",
          clock: systemClock,
          random: systemRandom,
          log: silentLog,
          provision: true,
          sizes: { downLaneEntries: 50 },
        });
        open.push(broker);
        return broker;
      },
      crash: () => server.crash(),
      async [Symbol.asyncDispose]() {
        for (const broker of open) await broker[Symbol.asyncDispose]();
      },
    };
  });
});

/** Every test begins with empty streams; one server serves them all. */
async function emptied(server: NatsServer): Promise<void> {
  const nats = await connect({ servers: server.url, user: "solaris", pass: natsPassword });
  const manager = await nats.jetstreamManager();
  for (const { config, state } of await manager.streams.list().next())
    if (state.last_seq > 0) await manager.streams.delete(config.name);
  await nats.close();
}
