import { z } from "zod";
import type { JsonValue } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import { checkIssued, checkRecipient, dateClaim, idClaim, identifierClaim, isExpired, nameClaim } from "./claims.ts";
import type { Signer } from "./signer.ts";
import { jsonKind, signStatement, verifyStatement } from "./statement.ts";

const commandSchema = z.strictObject({
  /** The node it is for: an identifier. */
  sub: identifierClaim,
  /** Run once: the node remembers it until `exp`. */
  id: idClaim,
  iat: dateClaim,
  exp: dateClaim,
  name: nameClaim,
  arguments: z.record(
    z.string().max(64),
    z.custom<JsonValue>((value) => value !== undefined),
  ),
});

/** An order to one node, run once and answered (PROTOCOL §8); names and arguments are checked by `lib/session`. */
export type CommandClaims = Readonly<z.infer<typeof commandSchema>>;

const kind = jsonKind<CommandClaims>("mercury-command", commandSchema);

/** A command as compact JWS, to be sealed to its node. */
export function signCommand(signer: Signer, claims: CommandClaims): Promise<string> {
  return signStatement(kind, signer, claims);
}

/**
 * The command in `jws`, of `authority`, for the node `recipient`, in date. Whether its `id` ran before is for the node's
 * store. Faults: `too_large`, `statement_invalid`, `statement_stale`, `statement_expired`, `clock`.
 */
export async function verifyCommand(
  suite: CryptoSuite,
  jws: string,
  {
    authority,
    recipient,
    now,
  }: { readonly authority: VerifiedIdentity; readonly recipient: string; readonly now: number },
): Promise<CommandClaims> {
  const claims = await verifyStatement(suite, kind, jws, authority);
  checkRecipient(claims.sub, recipient);
  checkIssued(claims.iat, now);
  if (isExpired(claims.exp, now)) throw new Fault("statement_expired", "a command out of date");
  return claims;
}
