import { Fault } from "#lib/fault";
import type { Scope } from "./scopes.ts";

/** Who asks, as the API key says. */
export interface Principal {
  readonly keyId: string;
  readonly scopes: readonly Scope[];
  /** The one customer that this key may see; null = all. */
  readonly customerId: string | null;
}

/** The principal as an audit entry names it. */
export const actorOf = (principal: Principal) => `key:${principal.keyId}`;

/** Fault `forbidden` unless the key holds `scope`. */
export function demandScope(principal: Principal, scope: Scope): void {
  if (principal.scopes.includes("*") || principal.scopes.includes(scope)) return;
  throw new Fault("forbidden", `this key does not have the scope ${scope}`);
}

/** Fault `not_found` when the thing belongs to a customer that this key may not see: it must not learn that it exists. */
export function demandCustomer(principal: Principal, customerId: string | null): void {
  if (principal.customerId === null || principal.customerId === customerId) return;
  throw new Fault("not_found");
}

/**
 * The customer to list for: the one asked for, or the key's own; undefined = all. A key of one customer that asks for
 * another gets Fault `not_found`.
 */
export function customerToList(principal: Principal, asked: string | undefined): string | undefined {
  if (asked !== undefined) demandCustomer(principal, asked);
  return asked ?? principal.customerId ?? undefined;
}
