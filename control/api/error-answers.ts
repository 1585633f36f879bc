import type { Context, ErrorHandler, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { hex } from "#lib/bytes";
import type { Random } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import { problemOf, problemResponse } from "./problem.ts";

/** What every request carries, whoever asks. */
export interface RequestEnv {
  Variables: { requestId: string };
}

/** Gives each request an id, tells it in `X-Request-Id`, and keeps answers out of caches unless a route says otherwise. */
export function requestIds(random: Random): MiddlewareHandler<RequestEnv> {
  return async (context, next) => {
    const requestId = hex(random(8));
    context.set("requestId", requestId);
    await next();
    context.res.headers.set("x-request-id", requestId);
    if (!context.res.headers.has("cache-control")) context.res.headers.set("cache-control", "no-store");
  };
}

/** Every throw as problem+json; what is our fault goes to the log with its cause. */
export function errorAnswers<Env extends RequestEnv>(log: Log): ErrorHandler<Env> {
  return (error, context) => {
    const requestId: string = context.get("requestId");
    const fault = asFault(fromHono(error), "internal");
    if (fault.entry.status >= 500)
      log.error("request failed", { requestId, path: context.req.routePath, code: fault.code, cause: fault });
    return problemResponse(problemOf(fault, requestId));
  };
}

export function noSuchRoute<Env extends RequestEnv>(context: Context<Env>): Response {
  return problemResponse(problemOf(new Fault("not_found"), context.get("requestId")));
}

/** What hono's own parts throw: a body that is no JSON, one that is too large. */
function fromHono(error: unknown): unknown {
  if (!(error instanceof HTTPException)) return error;
  if (error.status === 413) return new Fault("too_large", undefined, { cause: error });
  if (error.status < 500) return new Fault("bad_request", "the body is not well formed", { cause: error });
  return error;
}
