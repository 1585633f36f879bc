import { fromBase64url, fromUtf8 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { NodeKeys } from "#lib/identity";
import { clockLeewayMs } from "#lib/limits";
import { authorityAnswerSchema, enrollAnswerSchema } from "#lib/session";
import {
  decodeEnrollmentToken,
  type EnrollmentToken,
  type HostFacts,
  makeEnrollmentRequest,
  verifyEnrollment,
  verifyTokenAuthority,
} from "#lib/statement";
import { gatewayOrigin, type Network } from "../network/network.ts";
import type { Store } from "../store/open-store.ts";
import { type AskedGateway, askGateway } from "./ask-gateway.ts";

export interface EnrollmentDeps {
  readonly store: Pick<Store, "identity" | "cloud">;
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
  readonly network: Network;
  readonly host: HostFacts;
  readonly allowInsecure: boolean;
}

/** What this node is from now on. */
export interface Enrolled {
  readonly agentId: string;
  readonly identifier: string;
  /** Origin of the gateway. */
  readonly gateway: string;
}

/**
 * Redeems a token (PROTOCOL §4). The identity and the token are stored before anything is sent, so that after a lost
 * answer the same call, with the same token, ends the work. Faults: `enrolled` when this store belongs to an agent
 * already, `clock` when this machine's clock is what stood in the way, `unavailable`, and what Solaris refused.
 */
export async function enroll(deps: EnrollmentDeps, tokenText: string): Promise<Enrolled> {
  const { store, suite } = deps;
  const token = await decodeEnrollmentToken(suite, tokenText);
  const gateway = gatewayOrigin(token.gateway, deps.allowInsecure);
  const before = await store.cloud.enrollment();
  if (before !== undefined && before.agentId !== null && before.token !== tokenText.trim())
    throw new Fault("enrolled", undefined, { detail: { agent: before.agentId, gateway: before.gateway } });
  const made = await store.identity.ensure();
  await store.cloud.beginEnrollment({ gateway, authority: token.authority, token: tokenText.trim() });
  const shown = await askGateway(deps.network, `${gateway}/enroll`, { schema: authorityAnswerSchema });
  const keys = isOfWrongClock(deps.clock, made, shown) ? await store.identity.remakeUnanswered() : made;
  const agentId = await namingTheClock(deps.clock, shown, () => redeem(deps, token, gateway, shown.value.authority));
  return { agentId, identifier: keys.identity.identifier, gateway };
}

async function redeem(
  { store, suite, random, clock, network, host }: EnrollmentDeps,
  token: EnrollmentToken,
  gateway: string,
  chainText: string,
): Promise<string> {
  const chain = fromBase64url(chainText);
  if (chain === undefined) throw new Fault("malformed", "the gateway shows no authority");
  const authority = await verifyTokenAuthority(suite, token, chain, clock.now());
  const keys = await store.identity.ensure();
  const request = await makeEnrollmentRequest(suite, random, { token, authority, keys, host });
  const { value } = await askGateway(network, `${gateway}/enroll`, { body: { request }, schema: enrollAnswerSchema });
  const answer = await verifyEnrollment(suite, fromUtf8(await keys.unseal(value.answer)), {
    authority,
    tokenId: token.tokenId,
    subject: keys.identity,
    now: clock.now(),
  });
  await store.cloud.enrolled({
    agentId: answer.agentId,
    solarisPublic: answer.solarisKey,
    credential: answer.credentialJws,
    authority: answer.authority.chain,
    authorityIat: answer.credential.iat,
    now: clock.now(),
  });
  return answer.agentId;
}

/**
 * An identity made while this machine's clock was ahead is refused by everyone until that time has come. It is given up once the
 * clock agrees with the gateway's, and not before: now it may be the clock that is behind.
 */
function isOfWrongClock(
  clock: Pick<Clock, "now">,
  { identity }: NodeKeys,
  { dateMs }: Pick<AskedGateway<unknown>, "dateMs">,
): boolean {
  const now = clock.now();
  const agrees = dateMs !== undefined && Math.abs(now - dateMs) <= clockLeewayMs;
  return agrees && identity.last.createdMs > now + clockLeewayMs;
}

const clockCodes = new Set(["clock", "identity_expired", "statement_expired", "credential_expired"]);

/**
 * A date that does not fit may be ours: the gateway's `Date` header decides nothing, it only names the clock as what to
 * look at.
 */
async function namingTheClock<T>(
  clock: Pick<Clock, "now">,
  { dateMs }: Pick<AskedGateway<unknown>, "dateMs">,
  work: () => Promise<T>,
): Promise<T> {
  const ahead = dateMs === undefined ? 0 : clock.now() - dateMs;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Fault) || !clockCodes.has(error.code)) throw error;
    const minutes = Math.round(Math.abs(ahead) / 60_000);
    if (minutes < 2) throw error;
    const side = ahead > 0 ? "ahead of" : "behind";
    throw new Fault(
      "clock",
      `this machine's clock is ${minutes} minutes ${side} the gateway's: set it, then try again`,
      {
        cause: error,
        detail: { minutes, side },
      },
    );
  }
}
