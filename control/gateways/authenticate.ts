import type { MiddlewareHandler } from "hono";
import { Hono } from "hono";
import { hex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { bearer, type SliceDeps } from "../api/index.ts";
import { makeRemembered } from "../db/index.ts";
import { type GatewayRow, gatewayByKeyHash } from "./repo.ts";

/** What every request of a Nexus carries. */
export interface NexusEnv {
  Variables: { gateway: GatewayRow; requestId: string };
}

/** A router of one slice under `/nexus/v1`. */
export const newNexusRouter = () => new Hono<NexusEnv>();

const rememberedMs = 1_000;
const rememberedMax = 1_000;

/** Sets the gateway of `Authorization: Bearer <gateway key>`; Fault `unauthenticated` without a good one. Revocation counts within a second. */
export function authenticateGateway(deps: Pick<SliceDeps, "db" | "suite" | "clock">): MiddlewareHandler<NexusEnv> {
  const remembered = makeRemembered<GatewayRow>(deps.clock, { forMs: rememberedMs, max: rememberedMax });

  async function find(key: string): Promise<GatewayRow | undefined> {
    const hash = await deps.suite.sha256(utf8(key));
    return remembered.get(hex(hash), () => gatewayByKeyHash(deps.db, hash));
  }

  return async (context, next) => {
    const key = bearer(context.req.header("authorization"));
    const gateway = key === undefined ? undefined : await find(key);
    if (gateway === undefined || gateway.revokedAt !== null) throw new Fault("unauthenticated");
    context.set("gateway", gateway);
    await next();
  };
}
