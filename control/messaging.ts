import type { Hono } from "hono";
import type { Broker } from "#lib/broker";
import { nodeLane, type UpWatermark } from "#lib/session";
import type { Signer } from "#lib/statement";
import { agentById } from "./agents/index.ts";
import type { ApiEnv, SliceDeps } from "./api/index.ts";
import { commandRoutes, makeGiveCommand, takeAnswer } from "./commands/index.ts";
import { asStatement } from "./db/index.ts";
import {
  agentsThatName,
  desiredNumberOf,
  keepPublishing,
  makeDesiredStates,
  pluginRoutes,
  pluginSeal,
  resealAll,
  stateRoutes,
  takeReport,
} from "./desired/index.ts";
import { makeLanes, upWatermarksOf } from "./lanes/index.ts";
import { makeLeases, underLease } from "./leases/index.ts";
import {
  type IngestDeps,
  ingest,
  keepAdopting,
  letterRoutes,
  type MessageMetrics,
  makeCarry,
  makeLaneChecks,
  makeMessageWatch,
  makePusher,
  makeRateLimiter,
  makeReceivedFeed,
  makeTargets,
  messageRoutes,
  noMessageMetrics,
  type PublishEvent,
  publishEvents,
  pushRoutes,
  quarantineRoutes,
  receivedRoutes,
} from "./messages/index.ts";
import { makeMessenger } from "./messenger/index.ts";
import { insertWarning } from "./monitoring/agent-events.ts";
import { desiredPoliciesOf, policyRoutes } from "./policies/index.ts";
import { desiredPortalsOf, makePortalStates, portalFacts, portalRoutes } from "./portals/index.ts";
import { purgeForever, type Retention, retentionRoutes } from "./retention/index.ts";

export interface MessagingDeps extends SliceDeps {
  readonly broker: Broker;
  /** The authority's. */
  readonly signer: Signer;
  readonly retention: Retention;
  /** Whether connector types for tests and benchmarks may be configured. */
  readonly testConnectors: boolean;
  /** Whether what was received is published as events at the broker too, for other cloud services. */
  readonly publishEvents: boolean;
  /** Names this replica in leases. */
  readonly replica: string;
  /** Default: nothing is counted. */
  readonly metrics?: MessageMetrics;
}

/** The data side of Solaris: configurations, messages, commands, retention. */
export interface Messaging extends AsyncDisposable {
  /** Routers for `makeApi`. */
  readonly slices: readonly Hono<ApiEnv>[];
  /** An agent has a new identity: what is sealed to it is sealed anew. */
  identityChanged(agentId: string): Promise<void>;
  /** What portals are and what their nodes' states say is brought together: to be called every few seconds. */
  lookAtPortals(): Promise<void>;
  /** Signs every desired state anew: the authority has another key. */
  signAnew(): Promise<void>;
  /** Number of the newest desired state that is sealed to the agent; 0 = none. */
  desiredNumber(agentId: string): Promise<number>;
  upWatermarks(agentId: string): Promise<UpWatermark[]>;
}

const settleLifeMs = 600_000;

/** Starts it: ingest and purge under their leases, publication of what was left. Disposing drains pushes first. */
export async function openMessaging(deps: MessagingDeps): Promise<Messaging> {
  const { db, broker, clock, log } = deps;
  const { metrics = noMessageMetrics } = deps;
  const lanes = makeLanes(db);
  const watch = makeMessageWatch(deps);
  const feed = makeReceivedFeed(deps);
  const publishDown = (to: { agent: string; plugin: string }, entry: Uint8Array, token: string) =>
    broker.publish({ kind: "down", ...to }, entry, token);
  const targets = makeTargets({ db, lanes, clock });
  const messenger = makeMessenger(deps);
  const carry = makeCarry({ ...deps, messenger });
  const pushDeps = { ...deps, metrics, carry, lanes, targets, watch, publishDown, limiter: makeRateLimiter(deps) };
  const pusher = makePusher(pushDeps);
  const states = makeDesiredStates({
    ...deps,
    sealOf: (agentId, settings) => pluginSeal({ db, messenger }, agentId, settings),
    portalsOf: (agentId) => desiredPortalsOf(deps, agentId),
    policiesOf: (agentId) => desiredPoliciesOf(db, agentId),
  });
  const portalStates = makePortalStates({ db, log, states });
  const give = makeGiveCommand(deps);
  const closing = new AbortController();
  const leases = makeLeases(deps, deps.replica);

  const laneOf: IngestDeps["laneOf"] = async (agentId, plugin) => {
    const known = await lanes.find(agentId, plugin);
    // Lanes of plugins are made with them, so that no agent can fill the table with names.
    if (known !== undefined || plugin !== nodeLane) return known;
    const agent = await agentById(db, agentId);
    return agent === undefined ? undefined : lanes.of({ customerId: agent.customerId, agentId, plugin });
  };
  const ingestDeps: IngestDeps = {
    ...deps,
    laneOf,
    checksOf: makeLaneChecks({ ...deps, messenger }),
    openUp: (options) => broker.open({ kind: "up" }, options),
    hooks: {
      report: async (lane, message) => [takeReport(deps, lane.agentId, message)],
      answer: async (lane, message) => [await takeAnswer(deps, lane.agentId, message)],
      warning: async ({ agentId, plugin }, { code = "warning", reason = "" }) => {
        const detail = { plugin, code, reason };
        return [asStatement(insertWarning(db, { agentId, at: clock.now(), kind: "node-warning", detail }))];
      },
    },
    metrics,
    stored(counts) {
      metrics.ingested(counts);
      watch.poke();
      feed.poke();
    },
  };
  const leased = (name: string, termMs: number, retryMs: number) => ({ leases, clock, log, name, termMs, retryMs });
  const publishing = keepPublishing({ ...deps, states });
  const unlisten = broker.onRestored(() => publishing.again());
  const running: AsyncDisposable[] = [
    keepAdopting(pushDeps),
    underLease(leased("ingest", 6_000, 500), (lease, signal) => ingest(ingestDeps, lease, signal)),
    underLease(leased("purge", 30_000, 10_000), (lease, signal) => purgeForever(deps, lease, signal)),
    publishing,
  ];
  if (deps.publishEvents) {
    const publishEvent: PublishEvent = (to, bytes, id) => broker.publish({ kind: "event", ...to }, bytes, id);
    const events = { ...deps, feed, publishEvent };
    running.push(underLease(leased("events", 15_000, 2_000), (lease, signal) => publishEvents(events, lease, signal)));
  }

  return {
    slices: [
      pluginRoutes({ ...deps, states, lanes }),
      stateRoutes(deps),
      pushRoutes({ ...pushDeps, pusher }),
      messageRoutes({
        ...pushDeps,
        order: (by, agentId, command) => give(by, agentId, { command, lifeMs: settleLifeMs }),
      }),
      receivedRoutes({ ...deps, messenger, feed, closing: closing.signal }),
      letterRoutes({ ...deps, targets, pusher }),
      quarantineRoutes({ ...deps, released: () => feed.poke() }),
      commandRoutes({ ...deps, give }),
      portalRoutes({ ...deps, states: portalStates }),
      policyRoutes({
        ...deps,
        settle: (policyId) => portalStates.settle({ policyId }),
        portalFacts: (by, portalId) => portalFacts(db, by, portalId),
      }),
      retentionRoutes(deps),
    ],
    async identityChanged(agentId) {
      await states.reseal(agentId);
      for (const other of await agentsThatName(db, agentId)) await states.reseal(other);
      await portalStates.look();
    },
    lookAtPortals: () => portalStates.look(),
    signAnew: () => resealAll(db, states),
    desiredNumber: (agentId) => desiredNumberOf(db, agentId),
    upWatermarks: (agentId) => upWatermarksOf(db, agentId),
    async [Symbol.asyncDispose]() {
      unlisten();
      closing.abort();
      await pusher[Symbol.asyncDispose]();
      await Promise.all(running.map((part) => part[Symbol.asyncDispose]()));
    },
  };
}
