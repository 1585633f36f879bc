import { Fault } from "#lib/fault";
import type { Principal } from "./principal.ts";
import type { ApiKeyRow } from "./repo.ts";
import { isCustomerScope, type Scope } from "./scopes.ts";

/** Whether a key counts at `nowMs`. */
export function isLive(key: Pick<ApiKeyRow, "revokedAt" | "expiresAt">, nowMs: number): boolean {
  return key.revokedAt === null && (key.expiresAt === null || key.expiresAt > nowMs);
}

/**
 * Whether `maker` may make a key with these scopes for this customer: nobody gives more than they have, and a customer's
 * key holds no scope of the platform. Faults: `forbidden`, `invalid`.
 */
export function checkGrant(maker: Principal, scopes: readonly Scope[], customerId: string | null): void {
  if (maker.customerId !== null && maker.customerId !== customerId)
    throw new Fault("forbidden", "a key of one customer makes no key for another");
  const missing = scopes.find((scope) => !maker.scopes.includes("*") && !maker.scopes.includes(scope));
  if (missing !== undefined) throw new Fault("forbidden", `you do not have the scope ${missing} to give`);
  const tooMuch = customerId === null ? undefined : scopes.find((scope) => !isCustomerScope(scope));
  if (tooMuch !== undefined)
    throw new Fault("invalid", undefined, { detail: { scopes: `${tooMuch} is not for a key of one customer` } });
}
