import { Fault } from "#lib/fault";
import type { Credential } from "./credential.ts";

/** The highest a node has verified, kept in its store; never goes down (PROTOCOL §3). */
export interface Freshness {
  /** Number of the revocation list; 0 = none yet. */
  readonly revocations: number;
  /** Number of the desired state; 0 = none yet. */
  readonly desired: number;
  /** `iat` of the newest statement of the authority, seconds: the node's clock never goes behind it (PROTOCOL §5). */
  readonly authorityIat: number;
}

/** A node that has seen nothing. */
export const noFreshness: Freshness = { revocations: 0, desired: 0, authorityIat: 0 };

/** `seen` with what was verified now: each number the higher of the two. */
export function raiseFreshness(seen: Freshness, verified: Partial<Freshness>): Freshness {
  return {
    revocations: Math.max(seen.revocations, verified.revocations ?? 0),
    desired: Math.max(seen.desired, verified.desired ?? 0),
    authorityIat: Math.max(seen.authorityIat, verified.authorityIat ?? 0),
  };
}

/** Fault `statement_stale` when a list or desired state is older than what was seen. The same number again is fine. */
export function checkNotBelow(seen: Freshness, of: "revocations" | "desired", number: number): void {
  if (number < seen[of])
    throw new Fault("statement_stale", "an older number than was seen", { detail: { of, number, seen: seen[of] } });
}

/** Whether a node may use its own credential: it holds the list and the desired state that the credential names, or newer. */
export function canUseOwn(seen: Freshness, credential: Pick<Credential, "revocations" | "desired">): boolean {
  return credential.revocations <= seen.revocations && credential.desired <= seen.desired;
}

/** Whether a peer's credential names a newer revocation list than is held: wait for that list before going on. */
export function mustWaitForList(seen: Freshness, peer: Pick<Credential, "revocations">): boolean {
  return peer.revocations > seen.revocations;
}
