import { base64url } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import { credentialLifeMs } from "#lib/limits";
import { type Attributes, numericDate, signCredential } from "#lib/statement";
import type { Authority } from "./authority.ts";
import type { Revocations } from "./revocations.ts";

/** For whom a credential is. */
export interface CredentialSubject {
  readonly identifier: string;
  /** Hash of the identity change it counts for. */
  readonly kid: string;
  /** What Solaris says of the node, `role` included. */
  readonly attributes: Attributes;
  /** Number of its desired state; 0 = none. */
  readonly desired: number;
}

/** Issues credentials (PROTOCOL §3). */
export type IssueCredential = (subject: CredentialSubject) => Promise<string>;

export function makeIssueCredential(deps: {
  readonly authority: Authority;
  readonly revocations: Pick<Revocations, "number">;
  readonly clock: Clock;
  readonly random: Random;
}): IssueCredential {
  return async ({ identifier, kid, attributes, desired }) => {
    const now = deps.clock.now();
    return signCredential(deps.authority.signer, {
      sub: identifier,
      iss: deps.authority.identity.identifier,
      iat: numericDate(now),
      exp: numericDate(now + credentialLifeMs),
      jti: base64url(deps.random(16)),
      cnf: kid,
      attrs: attributes,
      revocations: await deps.revocations.number(),
      desired,
    });
  };
}
