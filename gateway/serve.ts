import { natsBroker, natsMessages } from "#lib/broker";
import { chooseSuite } from "#lib/crypto";
import { makeLog } from "#lib/log";
import { collectGarbage, consoleLogSink, onSignal, serveHttp, systemClock, systemRandom } from "#lib/runtime";
import { createNexus } from "./app.ts";
import type { NexusConfig } from "./config.ts";

const bodyBytesMax = 128 * 1024;

/** Serves until SIGTERM or SIGINT; resolves when everything is drained and closed. Faults `config`, `broker`, `broker_settings`. */
export async function serve(config: NexusConfig, version: string): Promise<void> {
  const log = makeLog(consoleLogSink({ level: config.logLevel, format: config.logFormat }), ["nexus"]);
  const { url, user, password } = config.broker;
  const ended = new Promise<void>((resolve) => {
    onSignal(["SIGTERM", "SIGINT"], () => resolve());
  });
  const nats = {
    servers: url.split(",").map((server) => server.trim()),
    name: `nexus ${config.gateway.hostname}`,
    clock: systemClock,
    random: systemRandom,
    log: log.child("broker"),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  };
  await using broker = await natsBroker(nats);
  await using relayMessages = await natsMessages({ ...nats, name: `${nats.name} relay` });
  await using nexus = await createNexus({
    config: config.gateway,
    solaris: fetch,
    broker,
    relayMessages,
    clock: systemClock,
    random: systemRandom,
    log,
    suite: await chooseSuite(),
    version,
    collectGarbage,
  });
  const onError = (error: unknown) => log.error("a request failed", { error });
  await using server = serveHttp({
    ...config.listen,
    fetch: (request, connection) => nexus.fetch(request, connection),
    bodyBytesMax,
    onError,
    drainMs: 2_000,
    ...(config.tls === undefined ? {} : { tls: config.tls }),
  });
  await using management =
    config.managementListen === undefined
      ? undefined
      : serveHttp({ ...config.managementListen, fetch: (request) => nexus.management(request), onError, drainMs: 500 });
  log.info("listening", { origin: server.origin, management: management?.origin });
  await ended;
  await nexus.drain();
}
