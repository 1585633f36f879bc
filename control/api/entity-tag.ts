import { Fault } from "#lib/fault";
import type { ApiContext } from "./env.ts";

/** Sets `ETag` to the version; a 304 answer when `If-None-Match` already names it, else undefined. */
export function etag(context: ApiContext, version: number | string): Response | undefined {
  const tag = `"${version}"`;
  context.header("etag", tag);
  return context.req.header("if-none-match") === tag ? context.body(null, 304) : undefined;
}

/** The version that `If-Match` demands; undefined without the header. Fault `bad_request` when it is none of ours. */
export function ifMatch(context: ApiContext): number | undefined {
  const tag = context.req.header("if-match");
  if (tag === undefined || tag === "*") return undefined;
  const version = /^"(\d{1,15})"$/.exec(tag)?.[1];
  if (version === undefined) throw new Fault("bad_request", "If-Match: not an ETag of this API");
  return Number(version);
}
