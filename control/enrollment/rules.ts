import { Fault } from "#lib/fault";
import type { AgentRow, IdentityRow, TokenRow } from "../agents/index.ts";

/**
 * Whether a token that nobody redeemed can be redeemed by an identity that is known as `known` (undefined: new). Faults:
 * `token_invalid` (cancelled), `token_expired`, `revoked`, `enrolled` (an identifier belongs to one agent for ever).
 */
export function checkRedeemable(
  token: Pick<TokenRow, "cancelledAt" | "expiresAt" | "reissue">,
  agent: Pick<AgentRow, "revokedAt">,
  known: Pick<IdentityRow, "revokedAt"> | undefined,
  nowMs: number,
): void {
  if (token.cancelledAt !== null) throw new Fault("token_invalid", "this enrollment token was cancelled");
  if (token.expiresAt <= nowMs) throw new Fault("token_expired");
  if (agent.revokedAt !== null && !token.reissue) throw new Fault("revoked");
  if (known === undefined) return;
  throw new Fault(
    known.revokedAt === null ? "enrolled" : "revoked",
    "this identity was enrolled before: make a new one",
  );
}

/** Whether the identity that redeemed a token gets its answer again. Faults: `revoked`, `enrolled`, `identity_unexpected`. */
export function mayAskAgain(
  agent: Pick<AgentRow, "revokedAt" | "identifier">,
  identity: Pick<IdentityRow, "identifier" | "revokedAt" | "openedAt" | "kid">,
  kid: string,
): void {
  if (identity.revokedAt !== null || agent.revokedAt !== null || agent.identifier !== identity.identifier)
    throw new Fault("revoked");
  if (identity.openedAt !== null) throw new Fault("enrolled", "this identity has opened a tunnel already");
  if (identity.kid !== kid) throw new Fault("identity_unexpected", "ask with the identity that was enrolled");
}
