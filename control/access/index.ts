/** API keys: who may do what. Slices take `./principal.ts` itself, since `api` stands between. */
export { accessRoutes } from "./routes.ts";
export { scopeSchema } from "./scopes.ts";
export { createFirstKey, createKey, makeFindPrincipal } from "./service.ts";
