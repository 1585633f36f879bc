import { chooseSuite } from "#lib/crypto";
import { makeLog } from "#lib/log";
import { gaugeLoopLag } from "#lib/metrics";
import {
  atomicWrite,
  consoleLogSink,
  hostFacts,
  isTerminal,
  monitorLoopLag,
  onSignal,
  serveHttp,
  systemClock,
  systemRandom,
  writeOut,
} from "#lib/runtime";
import { createFirstKey } from "./access/index.ts";
import { createSolaris, type Solaris } from "./app.ts";
import type { SolarisConfig } from "./config.ts";
import { serveGateway } from "./single-machine.ts";
import { openStores } from "./stores.ts";

const bodyBytesMax = 16 * 1024 * 1024;

/** Serves until SIGTERM or SIGINT; resolves when all is drained and closed. Faults `config`, `database…`, `broker…`. */
export async function serve(config: SolarisConfig, version: string, withGateway: boolean): Promise<void> {
  const log = makeLog(consoleLogSink({ level: config.logLevel, format: config.logFormat }), ["solaris"]);
  const ended = new Promise<void>((resolve) => {
    onSignal(["SIGTERM", "SIGINT"], () => resolve());
  });
  const suite = await chooseSuite();
  await using stores = await openStores(config, suite, log);
  const broker = await stores.openBroker();
  const { database, kms, metrics } = stores;
  using lag = monitorLoopLag(systemClock);
  gaugeLoopLag(metrics.registry, () => lag.read());
  const { hostname, pid } = hostFacts();
  const replica = `${hostname.slice(0, 40)}-${pid}`;
  const fixed = {
    database,
    kms,
    broker,
    metrics,
    suite,
    log,
    version,
    replica,
    retention: config.retention,
    publicMetrics: config.managementListen === undefined,
    testConnectors: config.testConnectors,
    publishEvents: config.publishEvents,
  };
  await using solaris = await createSolaris({ ...fixed, clock: systemClock, random: systemRandom });
  await showFirstKey(solaris, config, (text) => log.info(text, { file: config.adminKeyFile }));

  const { host, port } = config.listen;
  await using server = serveHttp({
    host,
    port,
    fetch: async (request, connection) => {
      const settled = connection.keepOpen(); // waiting for a message's outcome and live streams are silent for long
      const response = await solaris.fetch(request);
      if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) settled();
      return response;
    },
    bodyBytesMax,
    drainMs: 5_000,
    onError: (error) => log.error("a request failed", { error }),
    ...(config.tls === undefined ? {} : { tls: config.tls }),
  });
  await using _management =
    config.managementListen === undefined
      ? undefined
      : serveHttp({ ...config.managementListen, fetch: (request) => solaris.management(request), drainMs: 500 });
  await using gateway = withGateway ? await serveGateway({ config, solaris, broker, suite, log, version }) : undefined;
  log.info("listening", { origin: server.origin, gateway: gateway?.origin, authority: solaris.authority });
  await ended;
  log.info("ending");
}

/** The first admin key goes to the terminal, or into a file that only its owner reads; never into the log. */
async function showFirstKey(solaris: Solaris, config: SolarisConfig, tell: (text: string) => void): Promise<void> {
  const key = await createFirstKey(solaris.slices);
  if (key === undefined) return;
  if (isTerminal()) {
    writeOut(`\nFirst admin key, shown this once:\n\n  ${key}\n\n`);
    return;
  }
  await atomicWrite(config.adminKeyFile, `${key}\n`, { mode: 0o600 });
  tell("the first admin key was written to a file");
}
