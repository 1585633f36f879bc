import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Fault } from "#lib/fault";
import { nexusBodyBytesMax } from "#lib/limits";
import type { Log } from "#lib/log";
import { errorAnswers, type SliceDeps } from "./api/index.ts";
import { authenticateGateway, type NexusEnv } from "./gateways/index.ts";

/** What a Nexus asks (below `requestIds`): `/nexus/v1/*` behind gateway keys. */
export function makeNexusApi(
  deps: Pick<SliceDeps, "db" | "suite" | "clock"> & { readonly log: Log },
  slices: readonly Hono<NexusEnv>[],
): Hono<NexusEnv> {
  const api = new Hono<NexusEnv>();
  api.onError(errorAnswers(deps.log));
  api.use(authenticateGateway(deps));
  const onError = () => {
    throw new Fault("too_large");
  };
  api.use(bodyLimit({ maxSize: nexusBodyBytesMax, onError }));
  for (const slice of slices) api.route("/", slice);
  return new Hono<NexusEnv>().route("/nexus/v1", api);
}
