import type { MiddlewareHandler } from "hono";
import { Fault } from "#lib/fault";
import type { Principal } from "../access/principal.ts";
import type { ApiEnv } from "./env.ts";

/** The principal of an API key; undefined when there is none (unknown, revoked, out of date). */
export type FindPrincipal = (key: string) => Promise<Principal | undefined>;

/** Sets the principal from `Authorization: Bearer <API key>`; Fault `unauthenticated` without a good one. */
export function authenticate(findPrincipal: FindPrincipal): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const key = bearer(context.req.header("authorization"));
    const principal = key === undefined ? undefined : await findPrincipal(key);
    if (principal === undefined) throw new Fault("unauthenticated");
    context.set("principal", principal);
    await next();
  };
}

/** The token of a Bearer header (RFC 6750 §2.1), at most 200 characters. */
export function bearer(header: string | undefined): string | undefined {
  return /^Bearer ([A-Za-z0-9._~+/=-]{1,200})$/i.exec(header ?? "")?.[1];
}
