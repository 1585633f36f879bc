/** Builds a Mercury from its parts: the only file that knows all of them. */
import { hex, utf8 } from "#lib/bytes";
import type { Cancel, Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { Log } from "#lib/log";
import { hostFacts, monitorLoopLag, residentBytes, startWatchdog } from "#lib/runtime";
import { type DesiredReport, nodeLane } from "#lib/session";
import { openNetwork } from "./agent-store.ts";
import { makeCommandHandlers } from "./commands/command-handlers.ts";
import { CommandRunner } from "./commands/command-runner.ts";
import type { AgentConfig } from "./config.ts";
import { Reconciler } from "./desired/reconciler.ts";
import { takeDesired } from "./desired/take-desired.ts";
import { giveUpLane } from "./lanes/give-up-lane.ts";
import { LaneSeals } from "./lanes/lane-seals.ts";
import { PeerChannels } from "./peers/peer-channels.ts";
import { PortalHost } from "./portals/portal-host.ts";
import { serveTerminals } from "./portals/terminal-portals.ts";
import { RunningPlugins } from "./running/plugin-runner.ts";
import { makeSiteFetch } from "./site/site-fetch.ts";
import type { SiteFile } from "./site/site-file.ts";
import { makeSiteGuard } from "./site/site-guard.ts";
import { type AgentStatus, serveStatus } from "./status.ts";
import type { Store } from "./store/open-store.ts";
import { encodeUp } from "./store/up-letters.ts";
import { CorrectedClock } from "./tunnel/corrected-clock.ts";
import { connectBy, openTunnel } from "./tunnel/open-tunnel.ts";
import { Trust } from "./tunnel/trust.ts";
import { Tunnel } from "./tunnel/tunnel.ts";
import { agentVersion } from "./version.ts";

/** The site's list is looked at again after this. */
const siteListEveryMs = 1_000;
/** An event loop that stands still for so long never comes back: what supervises the process starts it again. */
const stuckMs = 60_000;
/** Lanes that stand still are looked for this often. */
const waitsEveryMs = 500;

export interface MercuryParts {
  readonly config: AgentConfig;
  /** Holds an answered enrollment; stays the caller's to close. */
  readonly store: Store;
  readonly siteFile: SiteFile;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly setLogLevel: (level: AgentConfig["logLevel"]) => void;
}

/** A running Mercury. Disposing stops plugins, then the tunnel; what is stored waits for the next run. */
export interface Mercury extends AsyncDisposable {
  status(): AgentStatus;
}

/** Runs what ran, then connects, for ever. Fault `not_found` before the enrollment. */
export async function createMercury(parts: MercuryParts): Promise<Mercury> {
  const { config, store, suite, random, log, siteFile } = parts;
  await using starting = new AsyncDisposableStack();
  const clock = new CorrectedClock(parts.clock, (await store.cloud.authority())?.clockOffsetMs);
  const trust = await Trust.load({ store, suite, clock, log: log.child("trust") });
  const network = await openNetwork(config);
  const host = hostFacts();
  const startedAt = Math.floor(clock.now());
  const lag = starting.use(monitorLoopLag(parts.clock, 20));
  const now = () => Math.floor(clock.now());

  starting.use(keepReading(siteFile, parts.clock, log.child("site")));
  const site = makeSiteGuard(() => siteFile.list);
  const siteFetch = makeSiteFetch(site, (url) => network.wayTo(url));
  const seals = new LaneSeals({ suite, random, now, trust });
  const plugins = new RunningPlugins({
    clock,
    random,
    log: log.child("plugins"),
    site,
    fetch: siteFetch,
    lanes: store.lanes,
    seals,
    testConnectors: config.testConnectors,
    onChange: () => tunnel.lanesChanged(),
  });
  const portals: PortalHost = new PortalHost({
    clock,
    log: log.child("portals"),
    site,
    node: () => ({
      identifier: trust.keys.identity.identifier,
      attributes: trust.credential.claims?.attrs ?? {}, // of nobody's then, and nobody may
    }),
    fetch: siteFetch,
    wayTo: (url) => network.wayTo(url),
    nexus() {
      const { session } = tunnel;
      if (session === undefined) throw new Fault("offline", "this node has no tunnel now");
      return session.link;
    },
    peers: () => peers,
  });
  const peers: PeerChannels = new PeerChannels({
    suite,
    clock,
    random,
    log: log.child("peers"),
    trust,
    relays() {
      const { session } = tunnel;
      if (session === undefined) throw new Fault("offline", "this node has no tunnel now");
      return session.relays;
    },
    demandList: (number) => listOf(trust, number, async () => tunnel.session?.refresh()),
    names: (identifier) => portals.names(identifier),
    taken: (stream, link) => void portals.taken(stream, link.peer),
    resumed: (stream, peer) => portals.resumed(stream, peer),
    renewed: (peer) => portals.renewed(peer),
  });
  const node = await store.lanes.lane(nodeLane);
  const tell = async (kind: "report" | "warning", body: unknown, more: { code?: FaultCode; reason?: string } = {}) => {
    const message = { kind, id: hex(random(16)), time: now(), contentType: "application/json", ...more };
    await node.outbox.append([encodeUp({ ...message, body: utf8(JSON.stringify(body)) })]);
  };
  const reconciler = new Reconciler({
    items: store.items,
    runner: plugins,
    log: log.child("desired"),
    others: async () => portals.apply(await store.items.portals(), await store.items.policies()),
    report: (report: DesiredReport) => tell("report", report),
  });
  const commands = new CommandRunner({
    suite,
    random,
    store,
    now,
    log: log.child("commands"),
    handlers: makeCommandHandlers({
      plugins,
      store,
      clock,
      random,
      status,
      setLogLevel: parts.setLogLevel,
      reconnect: () => tunnel.reconnect(),
      refresh: async () => tunnel.session?.refresh(),
    }),
  });
  const believed = async (sealed: string) => ({
    keys: await trust.keysFor(sealed),
    authority: trust.authority.identity,
  });
  const tunnel: Tunnel = new Tunnel({
    store,
    clock,
    random,
    trust,
    log: log.child("tunnel"),
    host: { version: agentVersion, platform: host.platform, hostname: host.hostname },
    openLink: (slot, signal) => {
      const gateway = trust.enrollment.gateway;
      const connect = connectBy(network, clock);
      return openTunnel({ store, suite, random, clock, log, trust, connect, gateway }, slot, signal);
    },
    downLanes: () => plugins.all().map(({ lane }) => lane),
    sealOf: (lane) => seals.of(lane),
    waiting: (name) => plugins.all().find(({ lane }) => lane.name === name)?.waiting,
    async health() {
      await Promise.all(plugins.all().map((plugin) => plugin.check()));
      return { desired: trust.freshness.desired, plugins: plugins.health() };
    },
    async desired(sealed) {
      const number = await takeDesired({ suite, store, now }, await believed(sealed), sealed);
      // Aside: neither the tunnel nor a newer state waits for a plugin.
      void applying(() => reconciler.apply(number));
      return number;
    },
    command: async (sealed) => commands.take(await believed(sealed), sealed),
    relayOffered: (offer, relays) => peers.offered(offer, relays),
    onRevoked: () => peers.revoked(),
    warn(code, reason) {
      void tell("warning", {}, { code, reason: reason.slice(0, 500) }).catch((error: unknown) => {
        log.warn("a warning was not stored", { code: asFault(error, "internal").code });
      });
    },
  });

  let pass: Promise<void> = Promise.resolve();
  /** Brings plugins to what is wanted, one pass after the other; then nobody waits for a plugin that is gone. */
  function applying(work: () => Promise<void>): Promise<void> {
    pass = pass.then(async () => {
      try {
        await work();
        const known = new Set([nodeLane, ...(await store.items.all()).map(({ name }) => name)]);
        for (const lane of store.lanes.all())
          if (!known.has(lane.name)) await giveUpLane(lane, clock, random, log.child(lane.name));
      } catch (error) {
        const { code, message } = asFault(error, "internal");
        log.error("desired state not applied whole", { code, reason: message });
      }
    });
    return pass;
  }

  function status(): AgentStatus {
    const { credential, enrollment, freshness, keys } = trust;
    const { p99Ms } = lag.read();
    const items = plugins.all().map((plugin) => {
      const { desired, waiting } = plugin;
      const { ok, reason, inboxMessages, outboxMessages } = plugin.health();
      const facts = plugin.plugin.facts?.();
      return {
        name: desired.name,
        type: desired.type,
        version: desired.version,
        state: waiting !== undefined ? "waiting" : ok ? "well" : reason === undefined ? "runs" : "not well",
        ...(reason === undefined ? {} : { reason }),
        inbox: inboxMessages,
        outbox: outboxMessages,
        ...(facts === undefined ? {} : { facts }),
      };
    });
    return {
      pid: host.pid,
      version: agentVersion,
      startedAt,
      residentBytes: residentBytes(),
      loopLagP99Ms: p99Ms,
      agentId: enrollment.agentId,
      identifier: keys.identity.identifier,
      gateway: enrollment.gateway,
      tunnel: tunnel.status,
      credentialUntil: credential.claims === undefined ? null : credential.claims.exp * 1_000,
      desired: freshness.desired,
      plugins: items,
      portals: portals.status(),
    };
  }

  starting.use(await serveStatus(config.dataDirectory, status));
  starting.use(tunnel);
  starting.use(peers);
  starting.defer(trust.onChange(() => portals.judgeAll()));
  starting.use(portals);
  starting.use(await serveTerminals(config.dataDirectory, portals, log.child("portals")));
  starting.use(plugins);
  starting.use(startWatchdog({ limitMs: stuckMs, lastWords: "mercury: the event loop stood still; ending" }));
  starting.use(watchWaits(plugins, clock, (lane) => tunnel.statusChanged(lane)));
  await commands.answerInterrupted();
  tunnel.start(); // plugins come up beside it: their lanes open as they do
  void applying(() => reconciler.resume(trust.freshness.desired));
  const running = starting.move();
  const dispose = async () => {
    await pass;
    await running.disposeAsync();
  };
  return { status, [Symbol.asyncDispose]: dispose };
}

/** Resolves once a revocation list of this number is held, for which `ask` asks the cloud. */
function listOf(trust: Trust, number: number, ask: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = trust.onChange(() => {
      if (trust.freshness.revocations < number) return;
      stop();
      resolve();
    });
    ask().catch(reject);
  });
}

/** Has the status of a lane told that began or ceased to wait: no event of the lane's says so. */
function watchWaits(plugins: RunningPlugins, clock: Clock, changed: (lane: string) => void): Disposable {
  const seen = new Map<string, string | undefined>();
  let cancel: Cancel = () => undefined;
  const look = () => {
    for (const { desired, waiting } of plugins.all()) {
      if (seen.get(desired.name) !== waiting) changed(desired.name);
      seen.set(desired.name, waiting);
    }
    cancel = clock.after(waitsEveryMs, look);
  };
  look();
  return { [Symbol.dispose]: () => cancel() };
}

/** Looks whether the site's list changed, again and again. One that can't be read leaves the last in force, and is told once. */
function keepReading(siteFile: SiteFile, clock: Clock, log: Log): Disposable {
  let cancel: Cancel = () => undefined;
  let told = "";
  const read = async () => {
    try {
      await siteFile.read();
      told = "";
    } catch (error) {
      const { message } = asFault(error, "config");
      if (message !== told) log.error("the site's list can't be read; the last one holds", { reason: message });
      told = message;
    }
  };
  const again = () => {
    cancel = clock.after(siteListEveryMs, () => void read().then(again));
  };
  again();
  return { [Symbol.dispose]: () => cancel() };
}
