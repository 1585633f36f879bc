import { base64url, equalBytes, utf8 } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import { recipientOf, seal, type VerifiedIdentity } from "#lib/identity";
import type { Kms } from "#lib/kms";
import type { Statement } from "#lib/runtime";
import { type EnrollmentRequest, numericDate, openEnrollmentRequest, signEnrollment } from "#lib/statement";
import {
  type AgentRow,
  agentById,
  credentialAttributes,
  type IdentityRow,
  identityById,
  insertIdentity,
  redeemToken,
  revokeIdentity,
  type TokenRow,
  tokenById,
  updateAgent,
} from "../agents/index.ts";
import type { SliceDeps } from "../api/index.ts";
import type { Authority, IssueCredential, Revocations } from "../authority/index.ts";
import { type LicenceRow, licenceById, licenceProblem } from "../customers/index.ts";
import { expecting, type Query } from "../db/index.ts";
import { demandServes, type GatewayRow } from "../gateways/index.ts";
import { insertAgentEvent, insertWarning } from "../monitoring/agent-events.ts";
import { countRefusal } from "../openings/index.ts";
import { checkRedeemable, mayAskAgain } from "./rules.ts";

const triesMax = 5;

export interface EnrollmentDeps
  extends Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId" | "log"> {
  readonly kms: Pick<Kms, "ensureKey">;
  readonly authority: Authority;
  readonly revocations: Pick<Revocations, "revoke">;
  readonly issueCredential: IssueCredential;
  /** Number of the newest desired state of an agent; 0 = none. */
  readonly desiredNumber: (agentId: string) => Promise<number>;
  /** Called once an agent has another identity: what is sealed to it has to be sealed anew. */
  readonly identityChanged: (agentId: string) => Promise<void>;
}

/** From where a request came. */
export interface Origin {
  readonly gateway: GatewayRow;
  readonly address: string;
}

/**
 * Redeems a token (PROTOCOL §4): the sealed answer for the identity that asked. Once per token, however many ask at once; the
 * same identity may ask again until its first tunnel was ready. Faults: those of `openEnrollmentRequest`; `token_invalid`,
 * `token_expired`, `token_used`, `enrolled`, `revoked`, `forbidden`, `suspended`, `licence_expired`.
 */
export async function enroll(deps: EnrollmentDeps, sealedRequest: string, from: Origin): Promise<string> {
  try {
    const authority = deps.authority.identity;
    const now = deps.clock.now();
    const opened = { authority, now };
    const request = await openEnrollmentRequest(deps.suite, (jwe) => deps.authority.unseal(jwe), sealedRequest, opened);
    return await answer(deps, request, await redeem(deps, request, from));
  } catch (error) {
    const { code } = asFault(error, "internal");
    const refusal = {
      at: deps.clock.now(),
      address: from.address,
      code: `enroll_${code}`,
      subject: "",
      verified: false,
    };
    await deps.db.write(countRefusal(deps.db, { ...refusal, count: 1 }));
    throw error;
  }
}

interface Redeemed {
  readonly agent: AgentRow;
  readonly identity: IdentityRow;
}

async function redeem(deps: EnrollmentDeps, request: EnrollmentRequest, from: Origin): Promise<Redeemed> {
  for (let tries = 1; ; tries++) {
    const token = await findToken(deps, request);
    const agent = await agentById(deps.db, token.agentId);
    if (agent === undefined) throw new Fault("database", "the agent of a token is not there");
    demandServes(from.gateway, agent.customerId);
    const known = await identityById(deps.db, request.identity.identifier);
    if (token.redeemedAt !== null) return await askedAgain(deps, request, from, { token, agent, known });
    if (known?.tokenId === token.id && tries < triesMax) continue; // redeemed by this identity between the two reads
    checkRedeemable(token, agent, known, deps.clock.now());
    await checkLicence(deps, agent);
    try {
      return await spend(deps, request, from, token, agent);
    } catch (error) {
      // Somebody else was faster, or the agent was changed: look again, the outcome is then known.
      if (asFault(error, "internal").code !== "conflict" || tries >= triesMax) throw error;
    }
  }
}

/** Fault `token_invalid` when there is no such token or its secret is another: which, nobody learns. */
async function findToken({ db }: EnrollmentDeps, request: EnrollmentRequest): Promise<TokenRow> {
  const token = await tokenById(db, request.tokenId);
  if (token === undefined || !equalBytes(utf8(token.secretHash), utf8(request.secretHash)))
    throw new Fault("token_invalid");
  return token;
}

/** A redeemed token: the identity that redeemed it may have lost the answer; any other is a warning. */
async function askedAgain(
  deps: EnrollmentDeps,
  request: EnrollmentRequest,
  from: Origin,
  { token, agent, known }: { token: TokenRow; agent: AgentRow; known: IdentityRow | undefined },
): Promise<Redeemed> {
  const { identifier, last } = request.identity;
  if (token.redeemedBy === identifier && known !== undefined) {
    mayAskAgain(agent, known, last.hash);
    return { agent, identity: known };
  }
  const detail = { tokenId: token.id, address: from.address, hostname: request.host.hostname, identifier };
  const warning = { agentId: agent.id, at: deps.clock.now(), kind: "token-reused" as const, detail };
  const event = { actor: `gateway:${from.gateway.id}`, action: "enrollment.token-reused", subject: agent.id };
  await deps.audit.record({ ...event, customerId: agent.customerId, detail }, insertWarning(deps.db, warning));
  throw new Fault("token_used");
}

/** Fault `suspended` or `licence_expired`: the token stays good for later. */
async function checkLicence(deps: EnrollmentDeps, agent: AgentRow): Promise<LicenceRow> {
  const licence = await licenceById(deps.db, agent.licenceId);
  if (licence === undefined) throw new Fault("database", "the licence of an agent is not there");
  const problem = licenceProblem(licence, deps.clock.now());
  if (problem !== undefined) throw new Fault(problem);
  return licence;
}

/** KMS first, under a name that a retry finds again; then one durable set redeems the token and registers the identity. */
async function spend(
  deps: EnrollmentDeps,
  { identity, host }: EnrollmentRequest,
  from: Origin,
  token: TokenRow,
  agent: AgentRow,
): Promise<Redeemed> {
  const { db } = deps;
  const kmsKey = `agent/${agent.id}/${identity.identifier}`;
  const { publicKey } = await deps.kms.ensureKey(kmsKey, "agree");
  const now = deps.clock.now();
  const row = identityRow(agent, token, identity, { kmsKey, solarisKey: publicKey, now });
  const change = { identifier: identity.identifier, revokedAt: null, revokedReason: null, heldAt: null };
  const by = { redeemedAt: now, redeemedBy: identity.identifier, address: from.address, ...host };
  const detail = { tokenId: token.id, identifier: identity.identifier, address: from.address, hostname: host.hostname };
  const former = agent.identifier;
  const set: (Statement | Query)[] = [
    expecting(1, redeemToken(db, token.id, by)),
    expecting(1, updateAgent(db, agent, change)),
    insertIdentity(db, row),
    insertAgentEvent(db, { id: deps.newId("evt"), agentId: agent.id, at: now, kind: "enrolled", detail }),
  ];
  if (former !== null) set.push(revokeIdentity(db, former, now, "reissued"));
  const event = {
    actor: `agent:${agent.id}`,
    action: "agent.enrolled",
    subject: agent.id,
    customerId: agent.customerId,
  };
  const revoked = former === null ? [] : [{ identifier: former, at: now, reason: "reissued" }];
  await deps.revocations.revoke({ ...event, detail: { ...detail, createdBy: token.createdBy } }, revoked, ...set);
  try {
    await deps.identityChanged(agent.id);
  } catch (error) {
    deps.log.error("the desired state of a new identity could not be sealed", { agent: agent.id, error });
  }
  return { agent: { ...agent, ...change, version: agent.version + 1 }, identity: row };
}

function identityRow(
  agent: AgentRow,
  token: TokenRow,
  identity: VerifiedIdentity,
  { kmsKey, solarisKey, now }: { kmsKey: string; solarisKey: IdentityRow["solarisKey"]; now: number },
): IdentityRow {
  return {
    identifier: identity.identifier,
    agentId: agent.id,
    tokenId: token.id,
    chain: identity.chain,
    kid: identity.last.hash,
    x25519: identity.last.x25519,
    formerKid: null,
    formerX25519: null,
    kmsKey,
    solarisKey,
    enrolledAt: now,
    openedAt: null,
    expiresAt: identity.last.expiresMs,
    revokedAt: null,
    revokedReason: null,
    version: 1,
  };
}

/** The sealed answer: agent id, Solaris' key for this agent, a fresh credential. */
async function answer(
  deps: EnrollmentDeps,
  request: EnrollmentRequest,
  { agent, identity }: Redeemed,
): Promise<string> {
  const licence = await checkLicence(deps, agent);
  const credential = await deps.issueCredential({
    identifier: identity.identifier,
    kid: identity.kid,
    attributes: credentialAttributes(agent, licence),
    desired: await deps.desiredNumber(agent.id),
  });
  const jws = await signEnrollment(deps.authority.signer, {
    tokenId: request.tokenId,
    agentId: agent.id,
    sub: identity.identifier,
    solarisKey: base64url(identity.solarisKey),
    credential,
    iat: numericDate(deps.clock.now()),
    authority: base64url(deps.authority.identity.chain),
  });
  return seal(deps.suite, deps.random, recipientOf(request.identity), jws);
}
