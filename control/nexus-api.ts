import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import { nexusBodyBytesMax } from "#lib/limits";
import type { Log } from "#lib/log";
import { errorAnswers, noSuchRoute, requestIds, type SliceDeps } from "./api/index.ts";
import { authenticateGateway, type NexusEnv } from "./gateways/index.ts";

/** What a Nexus asks: `/nexus/v1/*` behind gateway keys. */
export function makeNexusApi(
  deps: Pick<SliceDeps, "db" | "suite" | "clock"> & { readonly random: Random; readonly log: Log },
  slices: readonly Hono<NexusEnv>[],
): Hono<NexusEnv> {
  const api = new Hono<NexusEnv>();
  api.use(requestIds(deps.random));
  api.onError(errorAnswers(deps.log));
  api.notFound(noSuchRoute);
  api.use(authenticateGateway(deps));
  const onError = () => {
    throw new Fault("too_large");
  };
  api.use(bodyLimit({ maxSize: nexusBodyBytesMax, onError }));
  for (const slice of slices) api.route("/", slice);
  return new Hono<NexusEnv>().route("/nexus/v1", api);
}
