import { z } from "zod";
import { type Bytes, fromBase64url } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import { identityChainBytesMax, statementBytesMax } from "#lib/limits";
import { createAuthorityView } from "./authority-view.ts";
import {
  base64urlClaim,
  checkIssued,
  checkRecipient,
  dateClaim,
  idClaim,
  identifierClaim,
  nameClaim,
} from "./claims.ts";
import { type Credential, verifyCredential } from "./credential.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, readUnverified, signStatement, verifyStatement } from "./statement.ts";

const enrollmentSchema = z.strictObject({
  /** Id of the token that was redeemed. */
  tokenId: idClaim,
  agentId: nameClaim,
  /** Identifier of the enrolled node. */
  sub: identifierClaim,
  /** 32 bytes, base64url: Solaris' X25519 key for this agent alone. */
  solarisKey: base64urlClaim(32, 32),
  /** A `mercury-credential`. */
  credential: z.string().max(statementBytesMax / 2),
  iat: dateClaim,
  /** The authority's encoded chain, base64url. */
  authority: base64urlClaim(1, identityChainBytesMax),
});

/** Solaris' answer to an enrollment (PROTOCOL §4). */
export type EnrollmentClaims = Readonly<z.infer<typeof enrollmentSchema>>;

const kind = jsonKind<EnrollmentClaims>("mercury-enrollment", enrollmentSchema);

/** An enrollment answer as compact JWS, to be sealed to the node. */
export function signEnrollment(signer: Signer, claims: EnrollmentClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/** What a node stores after its enrollment. */
export interface Enrollment {
  readonly agentId: string;
  /** 32 bytes: what openings agree with. */
  readonly solarisKey: Bytes;
  readonly credential: Credential;
  /** The credential as it is shown to peers. */
  readonly credentialJws: string;
  /** The authority, perhaps with more changes than when it was fetched. */
  readonly authority: VerifiedIdentity;
}

/**
 * The answer to this node's own request: of the authority that the token named (`authority`, or an extension of it that
 * the answer brings), for this token and this identity, with a credential that holds.
 * Faults: those of `AuthorityView.offer` and `verifyCredential`.
 */
export async function verifyEnrollment(
  suite: CryptoSuite,
  jws: string,
  {
    authority: known,
    tokenId,
    subject,
    now,
  }: {
    readonly authority: VerifiedIdentity;
    readonly tokenId: string;
    readonly subject: VerifiedIdentity;
    readonly now: number;
  },
): Promise<Enrollment> {
  // The chain that it brings may be longer than the known one, and is believed for its own signatures only.
  const view = createAuthorityView(suite, known);
  await view.offer(decoded(readUnverified(kind, jws).authority), now);
  const authority = view.identity;
  const claims = await verifyStatement(suite, kind, jws, authority);
  checkRecipient(claims.sub, subject.identifier);
  if (claims.tokenId !== tokenId) throw new Fault("statement_invalid", "the answer to another token");
  checkIssued(claims.iat, now);
  const credential = await verifyCredential(suite, claims.credential, { authority, subject, now });
  const solarisKey = decoded(claims.solarisKey);
  return { agentId: claims.agentId, solarisKey, credential, credentialJws: claims.credential, authority };
}

/** The schema has checked that it is base64url. */
function decoded(text: string): Bytes {
  const bytes = fromBase64url(text);
  if (bytes === undefined) throw new Fault("statement_invalid", "not base64url");
  return bytes;
}
