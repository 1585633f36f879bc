import type { Credential } from "#lib/statement";

/**
 * ms until a credential is to be refreshed: at half its life, ± 10 % of it by `fraction` (0 up to 1); 0 = at once, for one that is
 * past that, or that could not be read. Pure.
 */
export function refreshDelayMs(
  claims: Pick<Credential, "iat" | "exp"> | undefined,
  now: number,
  fraction: number,
): number {
  if (claims === undefined) return 0;
  const lifeMs = (claims.exp - claims.iat) * 1_000;
  return Math.max(0, claims.iat * 1_000 + lifeMs * (0.4 + 0.2 * fraction) - now);
}
