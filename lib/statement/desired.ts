import { z } from "zod";
import type { JsonValue } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import type { VerifiedIdentity } from "#lib/identity";
import { checkIssued, checkRecipient, dateClaim, identifierClaim, numberClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, signStatement, verifyStatement } from "./statement.ts";

/** Any JSON that is there: its own schema is `lib/session`'s. */
const json = z.custom<JsonValue>((value) => value !== undefined);

const desiredSchema = z.strictObject({
  /** The node it is for: an identifier. */
  sub: identifierClaim,
  /** Higher than every one before. */
  number: numberClaim.min(1),
  iat: dateClaim,
  plugins: json,
  portals: json,
  policies: json,
  limits: json,
});

/** All that one node should run (PROTOCOL §9); what the four parts hold is checked against `lib/session`'s schemas. */
export type DesiredClaims = Readonly<z.infer<typeof desiredSchema>>;

const kind = jsonKind<DesiredClaims>("mercury-desired", desiredSchema);

/** A desired state as compact JWS, to be sealed to its node. */
export function signDesired(signer: Signer, claims: DesiredClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/**
 * The desired state in `jws`, of `authority`, for the node `recipient`. Whether its number is the newest is for
 * `Freshness`. Faults: `too_large`, `statement_invalid`, `statement_stale`, `clock`.
 */
export async function verifyDesired(
  suite: CryptoSuite,
  jws: string,
  {
    authority,
    recipient,
    now,
  }: { readonly authority: VerifiedIdentity; readonly recipient: string; readonly now: number },
): Promise<DesiredClaims> {
  const claims = await verifyStatement(suite, kind, jws, authority);
  checkRecipient(claims.sub, recipient);
  checkIssued(claims.iat, now);
  return claims;
}
