import { fromBase64url, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { verifyIdentity } from "#lib/identity";
import { actorOf, type Principal } from "../access/principal.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import type { IssueCredential, Revocations } from "../authority/index.ts";
import { expecting, isUnmet, newSecretText } from "../db/index.ts";
import {
  type GatewayRow,
  gatewayById,
  gatewaysFor,
  insertGateway,
  insertReplicaOfLive,
  replicaById,
  replicasOf,
  revokeGatewayRow,
  revokeReplicasOf,
  touchReplica,
  updateGateway,
} from "./repo.ts";

export interface GatewayDeps extends Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId"> {
  readonly revocations: Pick<Revocations, "revoke">;
  readonly issueCredential: IssueCredential;
  /** Whether this identifier was ever an agent's: no replica may then have it. */
  readonly isAgentIdentity: (identifier: string) => Promise<boolean>;
}

export interface NewGateway {
  readonly name: string;
  readonly origins: readonly string[];
  readonly customerId: string | null;
}

export interface MadeGateway {
  readonly gateway: GatewayRow;
  readonly key: string;
}

/** A new gateway with its key, which is shown this once. */
export async function createGateway(
  deps: Pick<GatewayDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId">,
  actor: string,
  { name, origins, customerId }: NewGateway,
  keep: Keep<MadeGateway> = keepNothing,
): Promise<MadeGateway> {
  const key = newSecretText(deps.random, "nexus");
  const gateway = {
    id: deps.newId("gtw"),
    name,
    keyHash: await deps.suite.sha256(utf8(key)),
    origins: [...new Set(origins)],
    customerId,
    createdAt: deps.clock.now(),
    revokedAt: null,
  };
  const detail = { origins: gateway.origins.join(" ") };
  const event = { actor, action: "gateway.created", subject: gateway.id, detail };
  const made = { gateway, key };
  const set = [insertGateway(deps.db, gateway), ...(await keep(made))];
  await deps.audit.record(customerId === null ? event : { ...event, customerId }, ...set);
  return made;
}

const ownGatewayId = "gtw_this_machine";

/** The gateway inside Solaris' own process, made at the first start; its key is another at each. */
export async function putOwnGateway(
  { db, audit, clock }: Pick<GatewayDeps, "db" | "audit" | "clock">,
  keyHash: GatewayRow["keyHash"],
  origin: string,
): Promise<void> {
  const origins = [origin.replace(/^ws/, "http")];
  const known = await gatewayById(db, ownGatewayId);
  const made = { id: ownGatewayId, name: "this machine", customerId: null, createdAt: clock.now(), revokedAt: null };
  const put =
    known === undefined
      ? insertGateway(db, { ...made, keyHash, origins })
      : expecting(1, updateGateway(db, ownGatewayId, { keyHash, origins }));
  const action = known === undefined ? "gateway.created" : "gateway.key-renewed";
  const event = { actor: "solaris", action, subject: ownGatewayId, detail: { origins: origin } };
  await whileLive(audit.record(event, put));
}

/** The gateway. Fault `not_found`. */
export async function findGateway(deps: Pick<GatewayDeps, "db">, id: string): Promise<GatewayRow> {
  const row = await gatewayById(deps.db, id);
  if (row === undefined) throw new Fault("not_found");
  return row;
}

export async function changeGateway(
  deps: GatewayDeps,
  by: Principal,
  id: string,
  change: { readonly name?: string | undefined; readonly origins?: readonly string[] | undefined },
): Promise<GatewayRow> {
  const row = await findGateway(deps, id);
  const wanted = { name: change.name ?? row.name, origins: [...new Set(change.origins ?? row.origins)] };
  const detail = { origins: wanted.origins.join(" ") };
  const event = { actor: actorOf(by), action: "gateway.changed", subject: id, detail };
  await whileLive(deps.audit.record(event, expecting(1, updateGateway(deps.db, id, wanted))));
  return { ...row, ...wanted };
}

/** A new key in place of the old one, which counts for nothing from now on. */
export async function renewGatewayKey(
  deps: GatewayDeps,
  by: Principal,
  id: string,
  keep: Keep<string> = keepNothing,
): Promise<string> {
  await findGateway(deps, id);
  const key = newSecretText(deps.random, "nexus");
  const keyHash = await deps.suite.sha256(utf8(key));
  const event = { actor: actorOf(by), action: "gateway.key-renewed", subject: id };
  const renewed = expecting(1, updateGateway(deps.db, id, { keyHash }));
  await whileLive(deps.audit.record(event, renewed, ...(await keep(key))));
  return key;
}

/**
 * Ends the gateway: first its key, so that no replica starts any more, then the identities of its replicas, so that agents
 * leave it. Again: finishes what was interrupted between the two.
 */
export async function revokeGateway(deps: GatewayDeps, by: Principal, id: string): Promise<void> {
  const gateway = await findGateway(deps, id);
  const now = deps.clock.now();
  const actor = actorOf(by);
  if (gateway.revokedAt === null) {
    const revoked = expecting(1, revokeGatewayRow(deps.db, id, now));
    await whileLive(deps.audit.record({ actor, action: "gateway.revoked", subject: id }, revoked));
  }
  const live = (await replicasOf(deps.db, id)).filter(
    ({ revokedAt, expiresAt }) => revokedAt === null && expiresAt > now,
  );
  const identities = live.map(({ identifier }) => ({ identifier, at: now, reason: "gateway revoked" }));
  if (identities.length === 0) return;
  const event = { actor, action: "nexus.revoked", subject: id, detail: { replicas: identities.length } };
  await deps.revocations.revoke(event, identities, revokeReplicasOf(deps.db, id, now));
}

export interface ReplicaStart {
  readonly chain: string;
  readonly version: string;
  readonly hostname: string;
}

/** Takes a replica's identity and issues its credential of role `nexus`; again for a renewal. */
export async function startReplica(deps: GatewayDeps, gateway: GatewayRow, start: ReplicaStart): Promise<string> {
  const now = deps.clock.now();
  const { identifier, last } = await verifyIdentity(deps.suite, fromBase64url(start.chain) ?? new Uint8Array(), {
    now,
  });
  if (await deps.isAgentIdentity(identifier)) throw new Fault("identity_unexpected", "the identity of an agent");
  const known = await replicaById(deps.db, identifier);
  if (known !== undefined && known.gatewayId !== gateway.id)
    throw new Fault("identity_unexpected", "the identity of another gateway");
  if (known?.revokedAt != null) throw new Fault("revoked");
  const row = {
    identifier,
    gatewayId: gateway.id,
    hostname: start.hostname,
    version: start.version,
    startedAt: now,
    seenAt: now,
    expiresAt: last.expiresMs,
    revokedAt: null,
  };
  if (known === undefined) {
    const detail = { identifier, hostname: start.hostname, version: start.version };
    const event = { actor: `gateway:${gateway.id}`, action: "nexus.started", subject: gateway.id, detail };
    await deps.audit.record(event, expecting(1, insertReplicaOfLive(row)));
  } else await deps.db.write(touchReplica(deps.db, identifier, now));
  const attributes = { role: "nexus", gateway_id: gateway.id };
  return deps.issueCredential({ identifier, kid: last.hash, attributes, desired: 0 });
}

/**
 * Where an agent of this customer connects: the gateway named, else its dedicated one, else the first. Fault `invalid`
 * when there is none.
 */
export async function gatewayForAgent(
  deps: Pick<GatewayDeps, "db">,
  customerId: string,
  gatewayId: string | undefined,
): Promise<string> {
  const serving = await gatewaysFor(deps.db, customerId);
  const chosen = gatewayId === undefined ? serving[0] : serving.find(({ id }) => id === gatewayId);
  const origin = chosen?.origins[0];
  if (origin !== undefined) return origin;
  const message =
    gatewayId === undefined ? "no gateway serves this customer: create one" : "no gateway of this customer";
  throw new Fault("invalid", undefined, { detail: { gatewayId: message } });
}

async function whileLive(written: Promise<unknown>): Promise<void> {
  try {
    await written;
  } catch (error) {
    if (isUnmet(error, 0)) throw new Fault("conflict", "this gateway is revoked", { cause: error });
    throw error;
  }
}
