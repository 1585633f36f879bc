import { z } from "zod";
import type { CryptoSuite } from "#lib/crypto";
import type { VerifiedIdentity } from "#lib/identity";
import { checkIssued, dateClaim, hashClaim, numberClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, signStatement, verifyStatement } from "./statement.ts";

const checkpointSchema = z.strictObject({
  /** Number of the last audit row it covers. */
  number: numberClaim,
  /** Hash of that row, and so of all before. */
  hash: hashClaim,
  iat: dateClaim,
});

/** How far the audit log had come, and its hash there (DESIGN §7). */
export type CheckpointClaims = Readonly<z.infer<typeof checkpointSchema>>;

const kind = jsonKind<CheckpointClaims>("mercury-checkpoint", checkpointSchema);

/** A checkpoint as compact JWS. */
export function signCheckpoint(signer: Signer, claims: CheckpointClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/**
 * The checkpoint in `jws`, of `authority`. One of a superseded key is `statement_stale`: at a rotation a new one is signed,
 * which covers all rows before. Faults: `too_large`, `statement_invalid`, `statement_stale`, `clock`.
 */
export async function verifyCheckpoint(
  suite: CryptoSuite,
  jws: string,
  { authority, now }: { readonly authority: VerifiedIdentity; readonly now: number },
): Promise<CheckpointClaims> {
  const claims = await verifyStatement(suite, kind, jws, authority);
  checkIssued(claims.iat, now);
  return claims;
}
