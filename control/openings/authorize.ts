import { type Bytes, base64url, fromBase64url } from "#lib/bytes";
import { asFault, type FaultCode } from "#lib/fault";
import type { Kms } from "#lib/kms";
import type { Statement } from "#lib/runtime";
import type { AuthorizeAnswer } from "#lib/session";
import {
  type Authorization,
  checkAuthorizationAudience,
  checkAuthorizationTime,
  type HeaderKeys,
  headerKeys,
  makeAnswer,
  readAuthorizationUnverified,
  rememberAuthorizationUntil,
  verifyAuthorizationMac,
} from "#lib/statement";
import { updateAgent, updateIdentity } from "../agents/index.ts";
import type { SliceDeps } from "../api/index.ts";
import { expecting, isDuplicate, type Query } from "../db/index.ts";
import { audiencesOf, type GatewayRow } from "../gateways/index.ts";
import { insertWarning } from "../monitoring/agent-events.ts";
import { countRefusal } from "./refusals.ts";
import { drawSlot, insertOpening, useHeader } from "./repo.ts";
import { type Judgement, judgeState } from "./rules.ts";
import { readStanding, type Standing } from "./standing.ts";
import { usedHeaders } from "./tables.ts";

const triesMax = 5;

export interface OpeningDeps extends Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId" | "log"> {
  readonly kms: Pick<Kms, "agree">;
}

/** One header of one opening, and who asks about it. */
export interface Asked {
  readonly authorization: string;
  readonly origin: string;
  readonly address: string;
  readonly nexus: string;
  readonly gateway: GatewayRow;
}

/**
 * Decides over one opening (PROTOCOL §5), in this order: form, key, MAC, audience, time, `jti`, state. Takes the agent's
 * key out of KMS once if its identity and change are known, else not at all.
 */
export async function authorize(deps: OpeningDeps, asked: Asked): Promise<AuthorizeAnswer> {
  const authorization = readOrUndefined(asked.authorization);
  if (authorization === undefined) return deny(deps, asked, "", false);
  const { kid, claims } = authorization;
  const standing = await readStanding(deps.db, claims.sub, claims.slot);
  const agentKey = standing === undefined ? undefined : keyOf(standing, kid);
  if (standing === undefined || agentKey === undefined) return deny(deps, asked, claims.sub, standing === undefined);

  const detail = { gateway: asked.gateway.id, address: asked.address };
  const shared = await deps.kms.agree(standing.kmsKey, agentKey, {
    purpose: "opening",
    subject: standing.agentId,
    detail,
  });
  const keys = await headerKeys(deps.suite, shared, agentKey, standing.solarisKey);
  if (!(await macHolds(deps, keys, authorization))) return deny(deps, asked, claims.sub, false);
  const opening = { asked, authorization, keys };
  const early = refusedBeforeState(asked, authorization, deps.clock.now());
  if (early !== undefined) return refuse(deps, opening, standing, early, []);
  return decide(deps, opening, standing);
}

interface Opening {
  readonly asked: Asked;
  readonly authorization: Authorization;
  readonly keys: HeaderKeys;
}

function readOrUndefined(header: string): Authorization | undefined {
  try {
    return readAuthorizationUnverified(header);
  } catch {
    return undefined; // denied and counted: whoever sends this learns no more than that
  }
}

/** The X25519 key of the change that the header names: the last, or the one before it until the last was used once. */
function keyOf(standing: Standing, kid: string): Bytes | undefined {
  if (kid === standing.kid) return standing.x25519;
  return kid === standing.formerKid ? (standing.formerX25519 ?? undefined) : undefined;
}

async function macHolds(deps: OpeningDeps, keys: HeaderKeys, authorization: Authorization): Promise<boolean> {
  try {
    await verifyAuthorizationMac(deps.suite, keys, authorization);
    return true;
  } catch (error) {
    if (asFault(error, "internal").code === "authorization_invalid") return false;
    throw error;
  }
}

function refusedBeforeState(asked: Asked, { claims }: Authorization, nowMs: number): FaultCode | undefined {
  try {
    checkAuthorizationAudience(claims, audiencesOf(asked.gateway.origins));
    checkAuthorizationTime(claims, nowMs);
    return undefined;
  } catch (error) {
    return asFault(error, "internal").code;
  }
}

/** `jti` and state, in one write; again when the state was changed in between. */
async function decide(deps: OpeningDeps, opening: Opening, first: Standing): Promise<AuthorizeAnswer> {
  let standing = first;
  for (let tries = 1; ; tries++) {
    const judgement = judgeState(
      standing,
      opening.asked.gateway.customerId,
      opening.authorization.claims,
      deps.clock.now(),
    );
    try {
      return await carryOut(deps, opening, standing, judgement);
    } catch (error) {
      if (isDuplicate(error, usedHeaders.id)) return refuse(deps, opening, standing, "authorization_replayed", []);
      if (asFault(error, "internal").code !== "conflict" || tries >= triesMax) throw error;
    }
    const { sub, slot } = opening.authorization.claims;
    standing = (await readStanding(deps.db, sub, slot)) ?? standing;
  }
}

function carryOut(
  deps: OpeningDeps,
  opening: Opening,
  standing: Standing,
  judgement: Judgement,
): Promise<AuthorizeAnswer> {
  const { claims } = opening.authorization;
  const once = useHeader(`${standing.agentId}/${claims.jti}`, rememberAuthorizationUntil(claims));
  if (judgement.decision === "refuse")
    return refuse(deps, opening, standing, judgement.code, [
      once,
      ...warningOf(deps, opening, standing, judgement.code),
    ]);
  if (judgement.decision === "hold") return hold(deps, opening, standing, once);
  return accept(deps, opening, standing, once, "copied" in judgement);
}

async function accept(
  deps: OpeningDeps,
  opening: Opening,
  standing: Standing,
  once: Statement,
  copied: boolean,
): Promise<AuthorizeAnswer> {
  const { db, clock } = deps;
  const { agentId, customerId, identifier, kmsKey, lanes, desired, revocations } = standing;
  const { asked, authorization } = opening;
  const { slot, continuity: shown } = authorization.claims;
  const now = clock.now();
  const epoch = (standing.slot?.epoch ?? 0) + 1;
  const continuity = deps.random(32);
  const draw = drawSlot({
    agentId,
    slot,
    identifier,
    epoch,
    continuity,
    former: shown === null ? null : (fromBase64url(shown) ?? null),
    readyAtSeen: standing.slot?.readyAt ?? null,
    openedAt: now,
    nexus: asked.nexus,
  });
  const set: (Statement | Query)[] = [
    once,
    draw,
    insertOpening(openingRow(deps, opening, standing, "accepted", epoch)),
  ];
  if (standing.formerKid !== null && authorization.kid === standing.kid) {
    const row = { identifier, version: standing.identityVersion };
    set.push(expecting(1, updateIdentity(db, row, { formerKid: null, formerX25519: null })));
  }
  if (copied) set.push(...warningOf(deps, opening, standing, "copied"));
  const detail = { slot, epoch, address: asked.address, gateway: asked.gateway.id, kmsKey, copied };
  const event = { actor: `agent:${agentId}`, action: "tunnel.opened", subject: agentId, customerId, detail };
  await deps.audit.record(event, ...set);
  return {
    decision: "accept",
    agentId,
    customerId,
    identifier,
    slot,
    epoch,
    continuity: base64url(continuity),
    serverTime: clock.now(),
    lanes: [...lanes],
    desired,
    revocations,
  };
}

/** Both copies wait for a person: the agent is held, and its sessions are ended by the answers to digests. */
async function hold(
  deps: OpeningDeps,
  opening: Opening,
  standing: Standing,
  once: Statement,
): Promise<AuthorizeAnswer> {
  const { agentId, agentVersion, customerId } = standing;
  const row = { id: agentId, version: agentVersion };
  const held = expecting(1, updateAgent(deps.db, row, { heldAt: deps.clock.now() }));
  const detail = { address: opening.asked.address, slot: opening.authorization.claims.slot };
  const event = { actor: "solaris", action: "agent.held", subject: agentId, customerId, detail };
  const warning = warningOf(deps, opening, standing, "copied");
  return refuse(deps, opening, standing, "held", [once, held, ...warning], event);
}

function warningOf({ db, clock }: OpeningDeps, { asked }: Opening, { agentId }: Standing, code: FaultCode): Query[] {
  if (code !== "copied" && code !== "clock") return [];
  const kind = code === "copied" ? ("copy-seen" as const) : ("clock-wrong" as const);
  return [insertWarning(db, { agentId, at: clock.now(), kind, detail: { address: asked.address } })];
}

/** After the MAC held: recorded, and answered under a MAC of its own. */
async function refuse(
  deps: OpeningDeps,
  opening: Opening,
  standing: Standing,
  code: FaultCode,
  extra: readonly (Statement | Query)[],
  event?: Parameters<OpeningDeps["audit"]["record"]>[0],
): Promise<AuthorizeAnswer> {
  const { db, clock, suite } = deps;
  const { asked, authorization, keys } = opening;
  const subject = standing.agentId;
  const refusal = { at: clock.now(), address: asked.address, code, subject, verified: true, count: 1 };
  const set = [
    ...extra,
    insertOpening(openingRow(deps, opening, standing, code, null)),
    countRefusal(db, refusal),
    ...(code === "clock" ? warningOf(deps, opening, standing, code) : []),
  ];
  await (event === undefined ? db.write(...set) : deps.audit.record(event, ...set));
  const { jti } = authorization.claims;
  const answer = await makeAnswer(suite, keys, { code, jti, timeMs: clock.now(), retryAfterMs: null });
  return { decision: "refuse", code, answer: base64url(answer) };
}

/** Before the MAC held: counted, and a bare 401. */
async function deny(deps: OpeningDeps, asked: Asked, subject: string, unknown: boolean): Promise<AuthorizeAnswer> {
  const code = unknown ? "unknown_identity" : "authorization_invalid";
  const known = unknown ? "" : subject; // what is invented makes no rows
  const refusal = { at: deps.clock.now(), address: asked.address, code, subject: known, verified: false, count: 1 };
  await deps.db.write(countRefusal(deps.db, refusal));
  return { decision: "deny", unknown };
}

function openingRow(
  deps: OpeningDeps,
  { asked, authorization }: Opening,
  { agentId }: Standing,
  outcome: string,
  epoch: number | null,
) {
  return {
    id: deps.newId("opn"),
    agentId,
    at: deps.clock.now(),
    outcome,
    address: asked.address,
    gatewayId: asked.gateway.id,
    nexus: asked.nexus,
    slot: authorization.claims.slot,
    epoch,
  };
}
