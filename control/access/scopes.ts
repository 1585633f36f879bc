import { z } from "zod";

/** What a key may do. `*` is everything; the scopes of `platform` are never given to a customer's own key. */
const customerScopes = [
  "customers:read",
  "licences:read",
  "agents:read",
  "agents:write",
  "plugins:read",
  "plugins:write",
  "portals:read",
  "portals:write",
  "policies:read",
  "policies:write",
  "messages:read",
  "messages:write",
  "commands:write",
  "monitoring:read",
  "audit:read",
] as const;
const platformScopes = [
  "*",
  "customers:write",
  "licences:write",
  "gateways:read",
  "gateways:write",
  "keys:read",
  "keys:write",
] as const;

export const scopeSchema = z.enum([...customerScopes, ...platformScopes]);
export type Scope = z.infer<typeof scopeSchema>;

/** Scopes that a key bound to one customer may hold. */
export const isCustomerScope = (scope: Scope) => (customerScopes as readonly Scope[]).includes(scope);
