import { Fault } from "#lib/fault";
import { enrollmentTokenLifeMs } from "#lib/limits";
import type { Statement } from "#lib/runtime";
import { type Attributes, encodeEnrollmentToken, enrollmentSecretHash } from "#lib/statement";
import { actorOf, demandCustomer, type Principal } from "../access/principal.ts";
import { type Keep, keepNothing, type SliceDeps } from "../api/index.ts";
import type { AuditEvent } from "../audit/index.ts";
import type { Authority, Revocations } from "../authority/index.ts";
import { licenceForAgent } from "../customers/index.ts";
import { expecting, isDuplicate, isUnmet, type Query } from "../db/index.ts";
import {
  type AgentRow,
  agentById,
  cancelTokensOf,
  forgetContinuity,
  identityById,
  insertAgent,
  insertToken,
  revokeIdentity,
  updateAgent,
} from "./repo.ts";
import { agents, type CopyPolicy } from "./tables.ts";

export interface AgentDeps extends Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId"> {
  readonly authority: Authority;
  readonly revocations: Pick<Revocations, "revoke">;
  /** Address of the gateway that the agents of a customer connect to; `gatewayId` picks one. Fault `invalid`. */
  readonly gatewayForAgent: (customerId: string, gatewayId: string | undefined) => Promise<string>;
}

export interface NewAgent {
  readonly customerId: string;
  readonly name: string;
  readonly licenceId?: string | undefined;
  readonly gatewayId?: string | undefined;
  readonly role: AgentRow["role"];
  readonly attributes: Attributes;
  readonly copyPolicy: CopyPolicy;
  readonly tokenLifeMs?: number | undefined;
}

/** An enrollment token as it is shown, this once. */
export interface MadeToken {
  readonly tokenId: string;
  readonly token: string;
  readonly expiresAt: number;
}

export interface MadeAgent {
  readonly agent: AgentRow;
  readonly token: MadeToken;
}

/** A new agent and the token that enrolls it. Faults: `not_found` (customer), `invalid`, `conflict` (name taken). */
export async function createAgent(
  deps: AgentDeps,
  by: Principal,
  wanted: NewAgent,
  keep: Keep<MadeAgent> = keepNothing,
): Promise<MadeAgent> {
  demandCustomer(by, wanted.customerId);
  const licence = await licenceForAgent(deps, by, wanted.customerId, wanted.licenceId);
  const agent: AgentRow = {
    id: deps.newId("agt"),
    customerId: wanted.customerId,
    licenceId: licence.id,
    name: wanted.name,
    role: wanted.role,
    attributes: wanted.attributes,
    copyPolicy: wanted.copyPolicy,
    identifier: null,
    heldAt: null,
    createdAt: deps.clock.now(),
    createdBy: actorOf(by),
    revokedAt: null,
    revokedReason: null,
    version: 1,
  };
  const { made, statement } = await makeToken(deps, by, agent, { ...wanted, reissue: false });
  const detail = { name: agent.name, role: agent.role, tokenId: made.tokenId };
  const both = { agent, token: made };
  const set = [insertAgent(deps.db, agent), statement, ...(await keep(both))];
  await orConflict(deps.audit.record(eventOf(by, "agent.created", agent, detail), ...set));
  return both;
}

/** The agent, if this key may see it. Fault `not_found`. */
export async function findAgent(deps: Pick<AgentDeps, "db">, by: Principal, id: string): Promise<AgentRow> {
  const row = await agentById(deps.db, id);
  if (row === undefined) throw new Fault("not_found");
  demandCustomer(by, row.customerId);
  return row;
}

export interface AgentChange {
  readonly version?: number | undefined;
  readonly name?: string | undefined;
  readonly licenceId?: string | undefined;
  readonly attributes?: Attributes | undefined;
  readonly copyPolicy?: CopyPolicy | undefined;
}

/** Its next credential carries the change. Faults: `not_found`, `conflict`. */
export async function changeAgent(deps: AgentDeps, by: Principal, id: string, change: AgentChange): Promise<AgentRow> {
  const agent = await findAgent(deps, by, id);
  if (change.licenceId !== undefined) await licenceForAgent(deps, by, agent.customerId, change.licenceId);
  const wanted = {
    name: change.name ?? agent.name,
    licenceId: change.licenceId ?? agent.licenceId,
    attributes: change.attributes ?? agent.attributes,
    copyPolicy: change.copyPolicy ?? agent.copyPolicy,
  };
  const version = change.version ?? agent.version;
  const event = eventOf(by, "agent.changed", agent, { fields: Object.keys(change).join(" ") });
  await orConflict(deps.audit.record(event, expecting(1, updateAgent(deps.db, { id, version }, wanted))));
  return { ...agent, ...wanted, version: version + 1 };
}

/** Ends the agent: identity on the revocation list, tokens cancelled, sessions ended. Again does nothing. */
export async function revokeAgent(deps: AgentDeps, by: Principal, id: string, reason: string): Promise<AgentRow> {
  const agent = await findAgent(deps, by, id);
  if (agent.revokedAt !== null) return agent;
  const now = deps.clock.now();
  const change = { revokedAt: now, revokedReason: reason, heldAt: null };
  const set: (Statement | Query)[] = [
    expecting(1, updateAgent(deps.db, agent, change)),
    cancelTokensOf(deps.db, id, now),
  ];
  if (agent.identifier !== null) set.push(revokeIdentity(deps.db, agent.identifier, now, reason));
  const identities = agent.identifier === null ? [] : [{ identifier: agent.identifier, at: now, reason }];
  await orConflict(deps.revocations.revoke(eventOf(by, "agent.revoked", agent, { reason }), identities, ...set));
  return { ...agent, ...change, version: agent.version + 1 };
}

/**
 * A new token for the same agent, in place of those not redeemed. Redeeming it revokes the identity there is; what waits
 * for the agent goes to the new one.
 */
export async function reissueToken(
  deps: AgentDeps,
  by: Principal,
  id: string,
  options: { readonly gatewayId?: string | undefined; readonly tokenLifeMs?: number | undefined },
  keep: Keep<MadeToken> = keepNothing,
): Promise<MadeToken> {
  const agent = await findAgent(deps, by, id);
  const { made, statement } = await makeToken(deps, by, agent, { ...options, reissue: true });
  const cancel = cancelTokensOf(deps.db, id, deps.clock.now());
  const event = eventOf(by, "agent.token-issued", agent, { tokenId: made.tokenId });
  await deps.audit.record(event, cancel, statement, ...(await keep(made)));
  return made;
}

/**
 * Lets a held agent connect again. `known`: only the store with the newest continuity value; `next`: whichever comes next, as
 * for a restored backup. Fault `conflict` when it is not held.
 */
export async function releaseAgent(
  deps: AgentDeps,
  by: Principal,
  id: string,
  keep: "known" | "next",
): Promise<AgentRow> {
  const agent = await findAgent(deps, by, id);
  const stuck = agent.copyPolicy === "reject" && keep === "next";
  if (agent.heldAt === null && !stuck) throw new Fault("conflict", "this agent is not held");
  const set: (Statement | Query)[] = [expecting(1, updateAgent(deps.db, agent, { heldAt: null }))];
  if (keep === "next") set.push(forgetContinuity(deps.db, id));
  await orConflict(deps.audit.record(eventOf(by, "agent.released", agent, { keep }), ...set));
  return { ...agent, heldAt: null, version: agent.version + 1 };
}

/** Whether this identifier was ever an agent's. */
export async function isAgentIdentity(deps: Pick<AgentDeps, "db">, identifier: string): Promise<boolean> {
  return (await identityById(deps.db, identifier)) !== undefined;
}

async function makeToken(
  deps: AgentDeps,
  by: Principal,
  agent: Pick<AgentRow, "id" | "customerId">,
  wanted: { gatewayId?: string | undefined; tokenLifeMs?: number | undefined; reissue: boolean },
): Promise<{ made: MadeToken; statement: Query }> {
  const gateway = await deps.gatewayForAgent(agent.customerId, wanted.gatewayId);
  const { identifier: authority, last } = deps.authority.identity;
  const [tokenId, secret, now] = [deps.newId("tok"), deps.random(32), deps.clock.now()];
  const token = await encodeEnrollmentToken(deps.suite, {
    gateway,
    authority,
    newestChange: last.hash,
    tokenId,
    secret,
  });
  const expiresAt = now + (wanted.tokenLifeMs ?? enrollmentTokenLifeMs);
  const statement = insertToken(deps.db, {
    id: tokenId,
    agentId: agent.id,
    secretHash: await enrollmentSecretHash(deps.suite, secret),
    createdAt: now,
    createdBy: actorOf(by),
    expiresAt,
    reissue: wanted.reissue,
    cancelledAt: null,
    redeemedAt: null,
    redeemedBy: null,
    address: null,
    hostname: null,
    version: null,
    platform: null,
  });
  return { made: { tokenId, token, expiresAt }, statement };
}

function eventOf(
  by: Principal,
  action: string,
  agent: Pick<AgentRow, "id" | "customerId">,
  detail: NonNullable<AuditEvent["detail"]>,
): AuditEvent {
  return { actor: actorOf(by), action, subject: agent.id, customerId: agent.customerId, detail };
}

async function orConflict<T>(written: Promise<T>): Promise<T> {
  try {
    return await written;
  } catch (error) {
    if (isDuplicate(error, agents.name))
      throw new Fault("conflict", "this customer has an agent of this name", { cause: error });
    if (isUnmet(error, 0))
      throw new Fault("conflict", "changed by someone else in between: read it again", { cause: error });
    throw error;
  }
}
