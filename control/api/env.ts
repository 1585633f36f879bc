import { type Context, Hono } from "hono";
import type { Principal } from "../access/principal.ts";

/** What every request of the API carries. */
export interface ApiEnv {
  Variables: { principal: Principal; requestId: string };
}

export type ApiContext = Context<ApiEnv>;

/** A router of one slice. */
export const newRouter = () => new Hono<ApiEnv>();

/** Who asks. */
export const principalOf = (context: ApiContext): Principal => context.get("principal");
