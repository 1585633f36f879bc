import { base64url, fromBase64url } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { isExtension, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { credentialAttributes, type IdentityRow, type Standing, standingOf, updateIdentity } from "../agents/index.ts";
import type { SliceDeps } from "../api/index.ts";
import type { Authority, IssueCredential, Revocations } from "../authority/index.ts";
import { licenceProblem } from "../customers/index.ts";
import { expecting } from "../db/index.ts";
import { type DemandReplica, demandServes, type GatewayRow } from "../gateways/index.ts";
import { readySlot, slotOf } from "./repo.ts";

export interface SessionDeps extends Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "log"> {
  readonly authority: Authority;
  readonly revocations: Pick<Revocations, "current">;
  readonly issueCredential: IssueCredential;
  readonly demandReplica: DemandReplica;
  readonly desiredNumber: (agentId: string) => Promise<number>;
  /** Called once an agent has another key: what is sealed to it has to be sealed anew. */
  readonly identityChanged: (agentId: string) => Promise<void>;
}

/** Which session a Nexus speaks of. */
export interface SessionKey {
  readonly agentId: string;
  readonly slot: number;
  readonly epoch: number;
}

/**
 * The agent has fsynced its epoch: the session is its newest in the slot. Faults: `displaced` when a newer one was drawn,
 * `identity_unexpected` for another gateway than the one it was opened at, and why the agent must not go on.
 */
export async function ready(deps: SessionDeps, gateway: GatewayRow, session: SessionKey): Promise<void> {
  try {
    await deps.db.write(...readySlot(session, gateway, deps.clock.now()));
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "conflict") throw error;
    await demandSession(deps, gateway, session); // says why
    throw new Fault("displaced", undefined, { cause: error });
  }
}

/**
 * A fresh credential for the agent of an open session. With `chain` the identity was rotated: the change is registered in one durable
 * set, the change before stays good for openings until the new one was used. Faults: those of `ready`; `identity_invalid`,
 * `identity_unexpected`, `statement_stale` (an older chain than is known).
 */
export async function refresh(
  deps: SessionDeps,
  gateway: GatewayRow,
  session: SessionKey,
  chain: string | undefined,
): Promise<{ credential: string; authority: string; revocations: string }> {
  const standing = await demandSession(deps, gateway, session);
  const rotated = chain === undefined ? undefined : await extensionOf(deps, standing.identity, chain);
  const kid = rotated?.last.hash ?? standing.identity.kid;
  const credential = await credentialFor(deps, standing, kid);
  if (rotated !== undefined && kid !== standing.identity.kid) await register(deps, standing, rotated);
  return {
    credential,
    authority: base64url(deps.authority.identity.chain),
    revocations: (await deps.revocations.current()).statement,
  };
}

/**
 * The standing of a session's agent, if the session is its slot's newest and all is well with it. Faults: `displaced`, `revoked`,
 * `held`, what is wrong with the licence, `identity_unexpected`.
 */
export async function demandSession(
  deps: SessionDeps,
  gateway: GatewayRow,
  { agentId, slot, epoch }: SessionKey,
): Promise<Standing> {
  const row = await slotOf(deps.db, agentId, slot);
  if (row === undefined || row.epoch !== epoch) throw new Fault("displaced");
  await deps.demandReplica(gateway, row.nexus);
  const standing = await standingOf(deps.db, row.identifier);
  if (standing === undefined) throw new Fault("displaced");
  const { agent, identity, licence } = standing;
  demandServes(gateway, agent.customerId);
  if (agent.revokedAt !== null || identity.revokedAt !== null || agent.identifier !== identity.identifier)
    throw new Fault("revoked");
  if (agent.heldAt !== null) throw new Fault("held");
  const problem = licenceProblem(licence, deps.clock.now());
  if (problem !== undefined) throw new Fault(problem);
  return standing;
}

async function extensionOf(deps: SessionDeps, identity: IdentityRow, chain: string): Promise<VerifiedIdentity> {
  const bytes = fromBase64url(chain) ?? new Uint8Array();
  const expected = identity.identifier;
  const shown = await verifyIdentity(deps.suite, bytes, { now: deps.clock.now(), expected });
  const known = await verifyIdentity(deps.suite, identity.chain, { now: "any time", expected });
  if (isExtension(shown, known)) return shown;
  if (isExtension(known, shown)) throw new Fault("statement_stale", "an older chain than the one registered");
  throw new Fault("identity_invalid", "a fork of the registered chain");
}

async function register(deps: SessionDeps, { agent, identity }: Standing, rotated: VerifiedIdentity): Promise<void> {
  const { chain, last, changes } = rotated;
  const change = {
    chain,
    kid: last.hash,
    x25519: last.x25519,
    formerKid: identity.kid,
    formerX25519: identity.x25519,
    expiresAt: last.expiresMs,
  };
  const detail = { kid: last.hash, changes: changes.length };
  const event = {
    actor: `agent:${agent.id}`,
    action: "identity.rotated",
    subject: agent.id,
    customerId: agent.customerId,
  };
  await deps.audit.record({ ...event, detail }, expecting(1, updateIdentity(deps.db, identity, change)));
  try {
    await deps.identityChanged(agent.id);
  } catch (error) {
    deps.log.error("what is sealed to a rotated identity could not be sealed anew", { agent: agent.id, error });
  }
}

async function credentialFor(deps: SessionDeps, { agent, identity, licence }: Standing, kid: string): Promise<string> {
  const attributes = credentialAttributes(agent, licence);
  const desired = await deps.desiredNumber(agent.id);
  return deps.issueCredential({ identifier: identity.identifier, kid, attributes, desired });
}
