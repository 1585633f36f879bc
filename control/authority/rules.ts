import { numericDate, type RevocationClaims } from "#lib/statement";

/** One revoked identity; `at` in ms. */
export interface RevokedIdentity {
  readonly identifier: string;
  readonly at: number;
  readonly reason?: string | undefined;
}

/** The whole list as its statement says it: each identifier once, sorted, so that equal lists are equal. */
export function listClaims(number: number, revoked: readonly RevokedIdentity[], nowMs: number): RevocationClaims {
  const unique = new Map(revoked.map((entry) => [entry.identifier, entry]));
  const sorted = [...unique.values()].sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
  return {
    number,
    iat: numericDate(nowMs),
    revoked: sorted.map(({ identifier, at, reason }) => ({
      identifier,
      at: numericDate(at),
      ...(reason === undefined ? {} : { reason: reason.slice(0, 64) }),
    })),
  };
}
