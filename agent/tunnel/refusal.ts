import { fromBase64url } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import type { Refusal } from "#lib/link";
import { type Answer, type HeaderKeys, verifyAnswer } from "#lib/statement";

/** Nothing that nobody has authenticated delays an agent by more than this (PROTOCOL §5). */
export const unverifiedDelayMsMax = 5 * 60_000;
const verifiedDelayMsMax = 24 * 3_600_000;

/** What a refused opening comes to. */
export interface ReadRefusal {
  readonly fault: Fault;
  /** Solaris' own word, its MAC checked; undefined when only Nexus has spoken. */
  readonly answer: Answer | undefined;
  /** When to come again, ms; undefined = by the usual back-off. */
  readonly retryAfterMs: number | undefined;
}

/** What each refusal means to whoever runs the agent, and what to do. */
const meanings: Partial<Record<FaultCode, string>> = {
  revoked:
    "this agent was revoked in the cloud and its identity is worth nothing any more; ask for a new token, then `mercury leave --yes` and `mercury enroll`",
  suspended: "the customer's licence is suspended; nothing is lost, it goes on when the cloud lifts it",
  licence_expired: "the customer's licence is not valid now; nothing is lost, it goes on when it is renewed",
  copied: "another copy of this agent's store was seen; the cloud's operator decides which one stays",
  held: "this agent waits for a person in the cloud to decide: a copy or a restored backup of its store was seen",
  clock: "this machine's clock is wrong; set it (NTP)",
  audience: "the gateway's address in the token is not one that the cloud knows; ask whoever runs the gateway",
  authorization_replayed: "the same opening arrived twice; it is tried again",
  limited: "the gateway takes agents back one after the other; it is tried again at the time it named",
  draining: "the gateway is shutting down; another one is tried",
  unavailable: "the cloud's control plane can't be reached by its gateway; it is tried again",
};

/**
 * Reads a `0x04` refusal. Only Solaris' MACed answer to this very header (`jti`) is believed; what Nexus alone says is shown,
 * and delays by at most 5 minutes.
 */
export async function readRefusal(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "answer">,
  jti: string,
  refusal: Refusal,
): Promise<ReadRefusal> {
  const answer = await verified(suite, keys, jti, refusal.answer);
  const said: FaultCode = isFaultCode(refusal.code) ? refusal.code : "forbidden";
  const code = answer?.code ?? said;
  const told = answer?.retryAfterMs ?? refusal.retryAfterMs;
  const delayMax = answer?.retryAfterMs == null ? unverifiedDelayMsMax : verifiedDelayMsMax;
  const by = answer === undefined ? "the gateway refused" : "the cloud refused";
  const fault = new Fault(code, `${by}: ${meanings[code] ?? new Fault(code).entry.text}`, {
    detail: { verified: answer !== undefined },
  });
  return { fault, answer, retryAfterMs: told === undefined ? undefined : Math.min(told, delayMax) };
}

async function verified(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "answer">,
  jti: string,
  text: string | undefined,
): Promise<Answer | undefined> {
  const bytes = text === undefined ? undefined : fromBase64url(text);
  if (bytes === undefined) return undefined;
  try {
    return await verifyAnswer(suite, keys, bytes, { jti });
  } catch (error) {
    if (error instanceof Fault) return undefined; // forged, or of another opening: as if it were not there
    throw error;
  }
}
