import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import { authenticate, type FindPrincipal } from "./authenticate.ts";
import type { ApiEnv } from "./env.ts";
import { errorAnswers } from "./error-answers.ts";
import { openApiDocument } from "./openapi.ts";
import { referencePage } from "./reference.ts";

export interface ApiOptions {
  readonly findPrincipal: FindPrincipal;
  readonly log: Log;
  readonly version: string;
  /** Largest request body, bytes. */
  readonly bodyBytesMax: number;
  /** Routers of the slices, all under `/api/v1`. */
  readonly slices: readonly Hono<ApiEnv>[];
}

/** The HTTP API (below `requestIds`): `/api/v1/*` behind API keys, its OpenAPI document and reference page without. */
export function makeApi(options: ApiOptions): Hono<ApiEnv> {
  const api = new Hono<ApiEnv>();
  api.onError(errorAnswers(options.log));
  let document: Promise<object> | undefined;
  api.get("/openapi.json", async (context) => {
    document ??= openApiDocument(root, options.version);
    return context.json(await document, 200, { "cache-control": "public, max-age=60" });
  });
  api.get("/reference", (context) => context.html(referencePage()));
  api.use(authenticate(options.findPrincipal));
  const tooLarge = () => {
    throw new Fault("too_large", `a body has at most ${options.bodyBytesMax} bytes`);
  };
  api.use(bodyLimit({ maxSize: options.bodyBytesMax, onError: tooLarge }));
  for (const slice of options.slices) api.route("/", slice);
  const root = new Hono<ApiEnv>().route("/api/v1", api);
  return root;
}
