/** Builds Solaris from its parts: the only file that knows all of them. */

import { Hono } from "hono";
import { routePath } from "hono/route";
import type { Broker } from "#lib/broker";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault } from "#lib/fault";
import type { Kms } from "#lib/kms";
import { pushBatchBytesMax } from "#lib/limits";
import type { Log } from "#lib/log";
import type { Database } from "#lib/runtime";
import { accessRoutes, makeFindPrincipal } from "./access/index.ts";
import { agentRoutes, isAgentIdentity } from "./agents/index.ts";
import { errorAnswers, makeApi, noSuchRoute, type RequestEnv, requestIds, type SliceDeps } from "./api/index.ts";
import { auditRoutes, makeAuditLog, writeCheckpoint, writeSummaries } from "./audit/index.ts";
import {
  authorityNexusRoutes,
  authorityRoutes,
  finishRotation,
  makeIssueCredential,
  openAuthority,
  openRevocations,
  rotateAuthority,
} from "./authority/index.ts";
import { customerRoutes, licenceRoutes } from "./customers/index.ts";
import { makeDb, makeNewId, makeSeals } from "./db/index.ts";
import { enrollmentNexusRoutes } from "./enrollment/index.ts";
import { gatewayForAgent, gatewayNexusRoutes, gatewayRoutes, makeDemandReplica } from "./gateways/index.ts";
import { type Health, healthRoutes, metricsRoutes } from "./health.ts";
import { startJobs } from "./jobs.ts";
import { messageMetrics } from "./messages/index.ts";
import { openMessaging } from "./messaging.ts";
import type { SolarisMetrics } from "./metrics.ts";
import {
  endSilentReplicas,
  monitoringNexusRoutes,
  monitoringRoutes,
  warningRoutes,
  warnOfFailures,
  watchBrokerUsage,
} from "./monitoring/index.ts";
import { makeNexusApi } from "./nexus-api.ts";
import { openingNexusRoutes, openingRoutes } from "./openings/index.ts";
import { portalNexusRoutes } from "./portals/index.ts";
import type { Retention } from "./retention/index.ts";

/** What Solaris is made of. Databases, KMS and broker stay the caller's to close. */
export interface SolarisParts {
  /** Migrated (`solarisMigrations`). */
  readonly database: Database;
  /** Its audit callback is `kmsAudit(…)`. */
  readonly kms: Kms;
  readonly broker: Broker;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly metrics: SolarisMetrics;
  /** Whether `/metrics` is answered beside all else; else by `management` alone. */
  readonly publicMetrics: boolean;
  readonly retention: Retention;
  /** Whether connector types for tests and benchmarks may be configured. */
  readonly testConnectors: boolean;
  /** Whether what was received is published at the broker as events too. Default false. */
  readonly publishEvents?: boolean;
  /** Names this replica to the others. */
  readonly replica: string;
}

/** A Solaris without its listener. */
export interface Solaris extends AsyncDisposable {
  /** Answers `/api/v1`, `/nexus/v1`, `/healthz`, `/readyz` and, with `publicMetrics`, `/metrics`. */
  fetch(request: Request): Promise<Response>;
  /** Answers `/healthz`, `/readyz`, `/metrics` and nothing else. */
  management(request: Request): Promise<Response>;
  health(): Promise<Health>;
  /** What commands beside the server need. */
  readonly slices: SliceDeps;
  /** Identifier of the authority. */
  readonly authority: string;
}

/** Begins to work at once. Disposing stops what runs beside requests, and signs the audit log's head. */
export async function createSolaris(parts: SolarisParts): Promise<Solaris> {
  const { database, kms, broker, suite, clock, random, log, metrics } = parts;
  const db = makeDb(database);
  const seals = makeSeals(kms);
  const newId = makeNewId(clock, random);
  const audit = makeAuditLog({ db, suite, clock });
  const slices: SliceDeps = { db, seals, audit, suite, clock, random, newId, log };

  const authority = await openAuthority({ db, kms, suite, clock });
  const { signer } = authority;
  const revocations = await openRevocations({ db, audit, authority, broker, clock, log: log.child("revocations") });
  const issueCredential = makeIssueCredential({ authority, revocations, clock, random });

  const { retention, replica, testConnectors, publishEvents = false } = parts;
  const messaging = await openMessaging({
    ...slices,
    log: log.child("messages"),
    broker,
    signer,
    retention,
    replica,
    metrics: messageMetrics(metrics.registry, db),
    testConnectors,
    publishEvents,
  });
  const { identityChanged, desiredNumber } = messaging;

  const demandReplica = makeDemandReplica(slices);
  const identity = {
    ...slices,
    demandReplica,
    kms,
    authority,
    revocations,
    issueCredential,
    identityChanged,
    desiredNumber,
  };
  const gateway = { ...identity, isAgentIdentity: (identifier: string) => isAgentIdentity(slices, identifier) };
  const agent = {
    ...identity,
    gatewayForAgent: (customerId: string, id: string | undefined) => gatewayForAgent(slices, customerId, id),
  };

  const rotation = { db, kms, suite, clock, authority, revocations, log: log.child("authority") };
  const api = makeApi({
    findPrincipal: makeFindPrincipal(slices),
    log: log.child("api"),
    version: parts.version,
    bodyBytesMax: pushBatchBytesMax + 1024 * 1024,
    slices: [
      customerRoutes(slices),
      licenceRoutes(slices),
      gatewayRoutes(gateway),
      agentRoutes(agent),
      openingRoutes(slices),
      monitoringRoutes(slices),
      warningRoutes(slices),
      ...messaging.slices,
      accessRoutes(slices),
      authorityRoutes({ authority, revocations, rotate: (actor) => rotateAuthority(rotation, actor) }),
      auditRoutes({ db, authorityChain: () => authority.identity.chain }),
    ],
  });
  const nexusApi = makeNexusApi({ db, suite, clock, log: log.child("nexus-api") }, [
    authorityNexusRoutes({ authority, revocations }),
    gatewayNexusRoutes({ ...gateway, revocations }),
    enrollmentNexusRoutes(identity),
    openingNexusRoutes({ ...identity, opened: metrics.opened }),
    portalNexusRoutes(identity),
    monitoringNexusRoutes(identity),
  ]);

  const checkpoint = () => writeCheckpoint({ db, clock, signer });
  const signAnew = async () => {
    await audit.record({ actor: "solaris", action: "authority.signing-anew" }); // a new head, for a checkpoint of its own
    await checkpoint();
    await messaging.signAnew();
  };
  const brokerUsage = watchBrokerUsage({ ...slices, broker, log: log.child("broker") }, metrics.registry);
  const jobs = startJobs({ clock, log: log.child("jobs") }, [
    { name: "silent replicas", everyMs: 5_000, run: () => endSilentReplicas(slices) },
    { name: "failure warnings", everyMs: 60_000, run: () => warnOfFailures(slices) },
    { name: "broker usage", everyMs: 10_000, run: () => brokerUsage.look() },
    { name: "authority", everyMs: 1_000, run: () => authority.look() },
    { name: "authority rotation", everyMs: 2_000, run: () => finishRotation(rotation, signAnew) },
    { name: "portals", everyMs: 2_000, run: () => messaging.lookAtPortals() },
    { name: "revocation list", everyMs: 5_000, run: () => revocations.push() },
    { name: "audit summaries", everyMs: 60_000, run: () => writeSummaries({ db, audit, suite, clock }) },
    { name: "audit checkpoints", everyMs: 300_000, run: checkpoint },
  ]);

  async function health(): Promise<Health> {
    try {
      await db.read("SELECT 1");
      await broker.check();
      return { ready: true };
    } catch (error) {
      const { code, message } = asFault(error, "internal");
      return { ready: false, reason: `${code}: ${message}` };
    }
  }

  const app = new Hono<RequestEnv>();
  app.use(requestIds(random));
  app.onError(errorAnswers(log.child("http")));
  app.notFound(noSuchRoute);
  app.use(async (context, next) => {
    const began = clock.monotonic();
    await next();
    metrics.answered(routePath(context, -1), context.res.status, (clock.monotonic() - began) / 1_000);
  });
  const { registry } = metrics;
  app.route("/", healthRoutes(health));
  if (parts.publicMetrics) app.route("/", metricsRoutes(registry));
  app.route("/", nexusApi).route("/", api);
  const management = new Hono<RequestEnv>().route("/", healthRoutes(health)).route("/", metricsRoutes(registry));

  let closed: Promise<void> | undefined;
  return {
    slices,
    authority: authority.identity.identifier,
    health,
    fetch: async (request) => app.fetch(request),
    management: async (request) => management.fetch(request),
    [Symbol.asyncDispose]() {
      closed ??= (async () => {
        await jobs[Symbol.asyncDispose]();
        await messaging[Symbol.asyncDispose]();
        await checkpoint().catch((error: unknown) => log.error("the last checkpoint was not written", { error }));
      })();
      return closed;
    },
  };
}
