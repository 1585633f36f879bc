import { base64url } from "#lib/bytes";
import type { FaultCode } from "#lib/fault";
import type { AuthorizationClaims } from "#lib/statement";
import { licenceProblem } from "../customers/index.ts";
import type { Slot, Standing } from "./standing.ts";

/** What the continuity value of a header says about the store that it comes from (PROTOCOL §6). */
export type Continuity = "expected" | "older";

/**
 * `expected`: the newest value, or, until `ready` for that, the one before. `older`: any other, so another copy of the store has
 * been here. For a slot that this identity never used (or that a person has let go) every value is expected.
 */
export function judgeContinuity(slot: Slot | undefined, identifier: string, shown: string | null): Continuity {
  if (slot === undefined || slot.identifier !== identifier) return "expected";
  if (shown === base64url(slot.continuity)) return "expected";
  if (slot.readyAt !== null) return "older";
  const former = slot.formerContinuity === null ? null : base64url(slot.formerContinuity);
  return shown === former ? "expected" : "older";
}

/** What the state of an agent says about an opening whose MAC, audience, time and `jti` hold. */
export type Judgement =
  | { readonly decision: "accept" }
  /** The other copy's session goes when this one is ready. */
  | { readonly decision: "accept"; readonly copied: true }
  | { readonly decision: "refuse"; readonly code: FaultCode }
  /** Both copies wait for a person from now on. */
  | { readonly decision: "hold" };

/** Checks in this order: revoked, identity's life, gateway, licence, held, copied. */
export function judgeState(
  standing: Standing,
  gatewayCustomer: string | null,
  claims: Pick<AuthorizationClaims, "slot" | "continuity">,
  nowMs: number,
): Judgement {
  if (standing.revoked) return { decision: "refuse", code: "revoked" };
  if (standing.identityExpiresAt <= nowMs) return { decision: "refuse", code: "identity_expired" };
  if (gatewayCustomer !== null && gatewayCustomer !== standing.customerId)
    return { decision: "refuse", code: "audience" };
  const problem = licenceProblem(standing.licence, nowMs);
  if (problem !== undefined) return { decision: "refuse", code: problem };
  if (standing.heldAt !== null) return { decision: "refuse", code: "held" };
  if (judgeContinuity(standing.slot, standing.identifier, claims.continuity) === "expected")
    return { decision: "accept" };
  if (standing.copyPolicy === "replace") return { decision: "accept", copied: true };
  return standing.copyPolicy === "hold" ? { decision: "hold" } : { decision: "refuse", code: "copied" };
}
