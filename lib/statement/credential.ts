import { z } from "zod";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import { type Attributes, attributesSchema, roles } from "./attributes.ts";
import { checkIssued, dateClaim, hashClaim, idClaim, identifierClaim, isExpired, numberClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, signStatement, verifySignature } from "./statement.ts";

const nonEmpty = z.string().min(1).max(64);

/** Every credential says its role; one of a customer's node says whose, one of a Nexus never does (PROTOCOL §3). */
const credentialAttributes = attributesSchema.refine(
  ({ role, customer_id }) =>
    role === "nexus"
      ? customer_id === undefined
      : roles.some((known) => known === role) && nonEmpty.safeParse(customer_id).success,
  { message: "role and customer_id do not go together" },
);

const credentialSchema = z.strictObject({
  /** Whose: an identifier. */
  sub: identifierClaim,
  /** Identifier of the authority. */
  iss: identifierClaim,
  iat: dateClaim,
  exp: dateClaim,
  jti: idClaim,
  /** Hash of the identity change it was issued for. */
  cnf: hashClaim,
  attrs: credentialAttributes,
  /** Number of the revocation list as of its issue. */
  revocations: numberClaim,
  /** Number of the subject's desired state as of its issue; 0 = none yet. */
  desired: numberClaim,
});

/** What Solaris says of a node, for an hour (PROTOCOL §3). Times in seconds, as in any JWT. */
export type Credential = Readonly<Omit<z.infer<typeof credentialSchema>, "attrs">> & { readonly attrs: Attributes };

const kind = jsonKind<Credential>("mercury-credential", credentialSchema);

/** A credential as compact JWS. */
export function signCredential(signer: Signer, claims: Credential): Promise<string> {
  return signStatement(kind, signer, claims);
}

/**
 * The credential in `jws`, issued by `authority` for the *last* change of `subject`, in date at `now` (ms). A superseded
 * authority key counts when `iat` lies before its successor was created.
 * Faults: `too_large`, `statement_invalid`, `statement_stale`, `clock`; `credential_invalid` when it is of another subject,
 * issuer or change; `credential_expired`, unless `mayHaveExpired` (a session whose opening Solaris itself has just judged).
 */
export async function verifyCredential(
  suite: CryptoSuite,
  jws: string,
  {
    authority,
    subject,
    now,
    mayHaveExpired = false,
  }: {
    readonly authority: VerifiedIdentity;
    readonly subject: VerifiedIdentity;
    readonly now: number;
    readonly mayHaveExpired?: boolean;
  },
): Promise<Credential> {
  const { claims, successor } = await verifySignature(suite, kind, jws, authority);
  if (claims.iss !== authority.identifier) throw new Fault("credential_invalid", "issued by another authority");
  if (claims.sub !== subject.identifier) throw new Fault("credential_invalid", "the credential of another identity");
  if (claims.cnf !== subject.last.hash)
    throw new Fault("credential_invalid", "issued for another change than the last of the identity");
  if (successor !== undefined && claims.iat * 1_000 >= successor.createdMs)
    throw new Fault("statement_stale", "a credential that a superseded key has signed after its successor was made");
  checkIssued(claims.iat, now);
  if (isExpired(claims.exp, now) && !mayHaveExpired) throw new Fault("credential_expired");
  return claims;
}
