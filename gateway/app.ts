/** Builds a Nexus from its parts: the only file that knows all of them. */

import type { Broker, PlainMessages } from "#lib/broker";
import { type Clock, type Random, sleep } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { HttpConnection } from "#lib/runtime";
import { coarseClock } from "./coarse-clock.ts";
import type { GatewaySettings } from "./config.ts";
import { EnrollmentDoor } from "./enroll/enrollment-door.ts";
import { type GatewayMetrics, gatewayMetrics } from "./gateway-metrics.ts";
import { HeapTidy } from "./heap-tidy.ts";
import { type Health, httpApp, managementApp } from "./http-app.ts";
import { OutletGuard } from "./outlets/outlet-guard.ts";
import { Outlets } from "./outlets/outlets.ts";
import { RelaySwitch } from "./relay/relay-switch.ts";
import { RemotePairs } from "./relay/remote-pairs.ts";
import { Neighbours } from "./replica/neighbours.ts";
import { fraction, Replica } from "./replica/replica.ts";
import { RevocationList } from "./replica/revocation-list.ts";
import { revocationSources } from "./replica/revocation-sources.ts";
import { RevocationWatch } from "./replica/revocation-watch.ts";
import { type SolarisFetch, solarisClient } from "./replica/solaris-client.ts";
import { Digests } from "./session/digests.ts";
import { Presence } from "./session/presence.ts";
import { Registry } from "./session/registry.ts";
import { Session } from "./session/session.ts";
import type { SessionParts } from "./session/session-parts.ts";
import { AddressLimits } from "./tunnel/address-limits.ts";
import { Admission } from "./tunnel/admission.ts";
import { clientAddress, isLoopback, trustedProxies } from "./tunnel/client-address.ts";
import { Openings } from "./tunnel/opening.ts";
import { Refusals } from "./tunnel/refusals.ts";
import { TokenBucket } from "./tunnel/token-bucket.ts";
import { TunnelDoor } from "./tunnel/tunnel-door.ts";
import { UnknownIdentifiers } from "./tunnel/unknown-identifiers.ts";

/** Enrollments a second in all: each costs Solaris a key pair. */
const enrollmentsPerSecond = 20;
const enrollmentsBurst = 200;
const sweepEveryMs = 60_000;
const drainLookMs = 50;
const readyLookMs = 100;
const aloneEveryMs = 1_000;
/** Where no other replica is, sessions can't move: they are not kept waiting for it. */
const aloneDrainMs = 500;

/** What a Nexus is made of. */
export interface NexusParts {
  readonly config: GatewaySettings;
  /** How requests reach Solaris: `fetch`, or the control app itself in the single-machine form. */
  readonly solaris: SolarisFetch;
  readonly broker: Broker;
  /** What replicas relay to one another: a connection of its own, so that it never holds delivery up. */
  readonly relayMessages: PlainMessages;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly suite: CryptoSuite;
  /** As Solaris shows it. */
  readonly version: string;
  /** See `HeapTidy`. Default: left to the runtime. */
  readonly collectGarbage?: () => void;
}

/** A Nexus without its listener. */
export interface Nexus extends AsyncDisposable {
  /** Identifier of this replica. */
  readonly identifier: string;
  /** Answers `/tunnel`, `/enroll`, `/healthz`, `/readyz` and, unless there is a management listener, `/metrics`. */
  fetch(request: Request, connection: HttpConnection): Promise<Response>;
  /** Answers `/healthz`, `/readyz` and `/metrics`. */
  management(request: Request): Promise<Response>;
  /** Whether it admits agents now, and if not, why. */
  health(): Health;
  /** Resolves when it admits agents for the first time. */
  readonly ready: Promise<void>;
  /**
   * Admits nobody any more, asks all agents to go elsewhere, waits for them at most `drainMs` (half a second where no other
   * replica is), ends what is left and tells Solaris. May be called twice.
   */
  drain(): Promise<void>;
}

/** Begins to work at once: asks Solaris for its credential until it has it. Disposing drains. */
export async function createNexus(parts: NexusParts): Promise<Nexus> {
  const { config, broker, clock, random, log, suite } = parts;
  const solaris = solarisClient({ url: config.solarisUrl, gatewayKey: config.gatewayKey, fetch: parts.solaris });
  const now = clock.monotonic();
  const registry = new Registry<Session>(clock);
  const admission = new Admission(now, config.admissionPerSecond);
  const refusals = new Refusals();
  const addresses = new AddressLimits(config.openingsPerAddressPerMinute, now);
  const enrollmentAddresses = new AddressLimits(config.openingsPerAddressPerMinute, now);
  const revocations = new RevocationList(suite, clock, (list, revoked) => void registry.revoke(list, revoked));
  const replica = await Replica.create({
    suite,
    clock,
    random,
    solaris,
    log: log.child("replica"),
    version: parts.version,
    hostname: config.hostname,
    revocations,
    renewed: (appointment) => void registry.showPeer(appointment),
  });
  const sources = revocationSources({ broker, solaris, list: revocations, authority: () => replica.authority, clock });
  const watch = new RevocationWatch(clock, revocations, sources, log.child("revocations"));
  const presence = new Presence({
    broker,
    clock,
    log: log.child("presence"),
    replica: replica.identifier,
    displaced: (session) => registry.displace(session),
  });
  const digests = new Digests({
    clock,
    log: log.child("digest"),
    solaris,
    registry,
    refusals,
    nexus: replica.identifier,
  });

  let draining: Promise<void> | undefined;
  const notReady = (): Fault | undefined => {
    if (draining !== undefined) return new Fault("draining");
    if (replica.appointment === undefined) return new Fault("unavailable", "no credential from Solaris");
    if (!watch.current) return new Fault("unavailable", "the revocation list is not known to be the newest");
    return undefined;
  };
  const neighbours = new Neighbours({
    broker,
    clock,
    replica: replica.identifier,
    gateway: () => replica.appointment?.gatewayId,
    admits: () => notReady() === undefined,
  });
  const health = (): Health => {
    const fault = notReady();
    return fault === undefined ? { ready: true } : { ready: false, reason: fault.message };
  };

  const openings = new Openings({
    clock,
    random: () => fraction(random),
    solaris,
    addresses,
    unknown: new UnknownIdentifiers(),
    admission,
    refusals,
    isRevoked: (identifier) => revocations.has(identifier),
    admitting() {
      const fault = notReady();
      if (fault !== undefined) throw fault;
      if (registry.size >= config.sessionsMax) throw new Fault("unavailable", "all sessions are taken");
      return { nexus: replica.identifier, origins: replica.appointment?.origins ?? [] };
    },
  });
  const metrics: GatewayMetrics = gatewayMetrics({
    sessions: () => registry.size,
    openingsPending: () => openings.pending,
    admissionPerSecond: () => admission.perSecond,
    outletConnections: () => outlets.size,
  });
  const relay: RelaySwitch = new RelaySwitch({
    clock,
    log: log.child("relay"),
    solaris,
    sessionOf: (agentId) => registry.sessionOf(agentId),
    remote: (offer, own) => remotePairs.open(offer, own),
  });
  const remotePairs = new RemotePairs({
    broker,
    messages: parts.relayMessages,
    clock,
    random,
    log: log.child("relay"),
    replica: replica.identifier,
    offered: (offer) => relay.offered(offer),
  });
  const outlets: Outlets = new Outlets({
    clock,
    log: log.child("outlets"),
    solaris,
    guard: new OutletGuard(config.outlets),
    metrics,
    replica: replica.identifier,
  });
  const sessionParts: SessionParts = {
    suite,
    clock,
    log: log.child("session"),
    broker,
    solaris,
    registry,
    presence,
    revocations,
    metrics,
    relay,
    outlets,
    authority: () => replica.authority.identity,
  };
  const tidy = new HeapTidy(clock, parts.collectGarbage ?? (() => undefined));
  const door = new TunnelDoor({
    suite,
    clock: coarseClock(clock),
    random,
    log: log.child("tunnel"),
    metrics,
    openings,
    replica,
    revocations,
    watch,
    opened(link, grant, address) {
      new Session(sessionParts, link, grant, address);
      tidy.opened(registry.size);
    },
  });
  const enrollment = new EnrollmentDoor({
    clock,
    solaris,
    addresses: enrollmentAddresses,
    total: new TokenBucket(enrollmentsPerSecond, enrollmentsBurst, now),
  });

  const proxies = trustedProxies(config.trustedProxies);
  const surface = {
    door,
    enrollment,
    health,
    registry: metrics.registry,
    address: (request: Request, connection: HttpConnection) =>
      clientAddress(connection.address, request.headers.get("x-forwarded-for"), proxies),
    secure(request: Request, connection: HttpConnection) {
      if (config.ownTls || config.allowInsecure) return true;
      if (proxies.includes(connection.address)) return request.headers.get("x-forwarded-proto") === "https";
      return isLoopback(connection.address);
    },
  };
  const app = httpApp(surface, config.publicMetrics);
  const management = managementApp(surface);

  let stopSweep = clock.after(sweepEveryMs, sweep);
  function sweep(): void {
    addresses.sweep(clock.monotonic());
    enrollmentAddresses.sweep(clock.monotonic());
    stopSweep = clock.after(sweepEveryMs, sweep);
  }

  const unlisten = [
    broker.listen({ kind: "revocations" }, () => void watch.look()),
    // One listening for all agents, not one each: a hint says whose it is.
    broker.listen({ kind: "desired", agent: "*" }, (_, agent) => registry.hint(agent)),
    broker.listen({ kind: "command", agent: "*" }, (_, agent) => registry.hint(agent)),
    broker.onRestored(() => void restored()),
  ];

  /** What was said while the broker was away is read. */
  async function restored(): Promise<void> {
    await watch.look();
    await registry.hintAll();
  }

  async function begin(): Promise<void> {
    await replica.start();
    await presence.start();
    digests.start();
    await watch.start();
    while (!watch.current && draining === undefined) await sleep(clock, readyLookMs);
    log.info("ready for agents", { nexus: replica.identifier, origins: replica.appointment?.origins });
  }

  async function drained(): Promise<void> {
    log.info("draining", { sessions: registry.size });
    const beganMs = clock.monotonic();
    const elapsedMs = () => clock.monotonic() - beganMs;
    registry.goaway();
    for (
      let alone = !(await neighbours.anyAdmits()), askedMs = elapsedMs();
      registry.size > 0;
      await sleep(clock, drainLookMs)
    ) {
      if (elapsedMs() >= (alone ? Math.min(aloneDrainMs, config.drainMs) : config.drainMs)) break;
      if (elapsedMs() - askedMs < aloneEveryMs) continue;
      askedMs = elapsedMs();
      alone = !(await neighbours.anyAdmits()); // the other may have gone meanwhile
    }
    registry.endAll("draining");
    await registry.drained();
    for (const end of unlisten) end();
    remotePairs[Symbol.dispose]();
    outlets[Symbol.dispose]();
    stopSweep();
    tidy[Symbol.dispose]();
    watch[Symbol.dispose]();
    replica[Symbol.dispose]();
    await digests.stop();
    neighbours[Symbol.dispose]();
    await presence.close();
  }

  const drain = () => {
    draining ??= drained();
    return draining;
  };
  const ready = begin();
  ready.catch((error) => {
    if (draining === undefined) log.error("could not begin", { code: asFault(error, "internal").code, error });
  });

  return {
    identifier: replica.identifier,
    fetch: async (request, connection) => app.fetch(request, connection),
    management: async (request) => management.fetch(request),
    health,
    ready,
    drain,
    [Symbol.asyncDispose]: drain,
  };
}
