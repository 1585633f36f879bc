import { z } from "zod";
import type { CryptoSuite } from "#lib/crypto";
import type { VerifiedIdentity } from "#lib/identity";
import { checkIssued, dateClaim, identifierClaim, numberClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, signStatement, verifyStatement } from "./statement.ts";

const revocationSchema = z.strictObject({
  /** Higher than every one before. */
  number: numberClaim.min(1),
  iat: dateClaim,
  /** All that is revoked, each identifier once. */
  revoked: z.array(
    z.strictObject({
      identifier: identifierClaim,
      /** Since when, seconds. */
      at: dateClaim,
      reason: z.string().max(64).optional(),
    }),
  ),
});

/** The whole list of revoked identities (PROTOCOL §3). */
export type RevocationClaims = Readonly<z.infer<typeof revocationSchema>>;

const kind = jsonKind<RevocationClaims>("mercury-revocation", revocationSchema);

/** A revocation list as compact JWS. Fault `too_large` above 1 MiB: about 8,000 identities. */
export function signRevocation(signer: Signer, claims: RevocationClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/**
 * The revocation list in `jws`, of `authority`. Whether its number is the newest is for `Freshness`.
 * Faults: `too_large`, `statement_invalid`, `statement_stale`, `clock`.
 */
export async function verifyRevocation(
  suite: CryptoSuite,
  jws: string,
  { authority, now }: { readonly authority: VerifiedIdentity; readonly now: number },
): Promise<RevocationClaims> {
  const claims = await verifyStatement(suite, kind, jws, authority);
  checkIssued(claims.iat, now);
  return claims;
}

/** The identifiers of a list, to look one up at every opening. */
export function revokedIdentifiers({ revoked }: RevocationClaims): ReadonlySet<string> {
  return new Set(revoked.map(({ identifier }) => identifier));
}
