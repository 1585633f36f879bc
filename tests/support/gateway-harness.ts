import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, embeddedBroker, type PlainMessages } from "#lib/broker";
import { type CryptoSuite, webSuite } from "#lib/crypto";
import { type Log, silentLog } from "#lib/log";
import { migrate, openDatabase, serveHttp, systemClock, systemRandom } from "#lib/runtime";
import { createNexus, type Nexus } from "../../gateway/app.ts";
import type { GatewaySettings } from "../../gateway/config.ts";
import { brokerMigrations } from "../../migrations/broker/index.ts";
import type { FakeSolaris } from "./fake-solaris.ts";

/** An embedded broker over a file of its own, removed with it. */
export interface OwnBroker extends AsyncDisposable {
  readonly broker: Broker;
}

/** Opens an embedded broker in a new directory. */
export async function ownBroker(log: Log = silentLog): Promise<OwnBroker> {
  const folder = mkdtempSync(join(tmpdir(), "broker-"));
  const database = await openDatabase({ path: join(folder, "broker.db"), encryptionKey: "0123456789abcdef" });
  await migrate(database, brokerMigrations);
  const broker = await embeddedBroker({ database, clock: systemClock, log, pollIntervalMs: 20 });
  return {
    broker,
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One Nexus with its listener, in this process. */
export interface TestNexus extends AsyncDisposable {
  readonly nexus: Nexus;
  /** `http://127.0.0.1:port` */
  readonly origin: string;
  /** `ws://127.0.0.1:port/tunnel` */
  readonly url: string;
}

/** What a harness starts with. */
export interface NexusOptions {
  readonly solaris: FakeSolaris;
  readonly broker: Broker;
  /** Default: the broker's. */
  readonly relayMessages?: PlainMessages;
  readonly settings?: Partial<GatewaySettings>;
  readonly log?: Log;
  readonly suite?: CryptoSuite;
  /** PEM texts: it ends TLS itself. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Resolve before it admits agents. Default false. */
  readonly early?: boolean;
}

/** Starts a Nexus against a fake Solaris. */
export async function startNexus(options: NexusOptions): Promise<TestNexus> {
  const { solaris, broker, settings, log = silentLog, suite = webSuite } = options;
  const nexus = await createNexus({
    config: {
      solarisUrl: "http://solaris.test",
      gatewayKey: solaris.gatewayKey,
      trustedProxies: [],
      allowInsecure: false,
      ownTls: options.tls !== undefined,
      openingsPerAddressPerMinute: 10_000,
      admissionPerSecond: 1_000,
      sessionsMax: 1_000,
      drainMs: 2_000,
      outlets: [],
      publicMetrics: true,
      hostname: "test",
      ...settings,
    },
    solaris: solaris.fetch,
    broker,
    relayMessages: options.relayMessages ?? broker,
    clock: systemClock,
    random: systemRandom,
    log,
    suite,
    version: "0",
  });
  const server = serveHttp({
    host: "127.0.0.1",
    port: 0,
    fetch: (request, connection) => nexus.fetch(request, connection),
    drainMs: 100,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  });
  if (options.early !== true) await nexus.ready;
  return {
    nexus,
    origin: server.origin,
    url: `${server.origin.replace("http", "ws")}/tunnel`,
    async [Symbol.asyncDispose]() {
      await nexus[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
