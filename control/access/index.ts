/** API keys: who may do what. */
export { actorOf, customerToList, demandCustomer, demandScope, type Principal } from "./principal.ts";
export { accessRoutes } from "./routes.ts";
export { isCustomerScope, type Scope, scopeSchema } from "./scopes.ts";
export { createFirstKey, createKey, makeFindPrincipal } from "./service.ts";
