/**
 * The HTTP frame. A slice's `routes.ts` exports `xRoutes(deps)`, a router made of
 * `router.post(path, operation({…}), idParam(…), body(schema), handler)`; its answers never hold a secret unless it is
 * shown once on purpose. Throw a `Fault`: it leaves as problem+json.
 */
export { makeApi } from "./app.ts";
export { bearer } from "./authenticate.ts";
export { etag, ifMatch } from "./entity-tag.ts";
export { type ApiContext, type ApiEnv, newRouter, principalOf } from "./env.ts";
export { errorAnswers, noSuchRoute, type RequestEnv, requestIds } from "./error-answers.ts";
export { type Keep, keepNothing, once } from "./idempotency.ts";
export { operation } from "./operation.ts";
export { pageOf, pageQuery, toPage } from "./pages.ts";
export type { SliceDeps } from "./slice.ts";
export { body, idParam, invalid, parseOrInvalid, query } from "./validate.ts";
