/** API keys: who may do what. */
export { actorOf, customerToList, demandCustomer, demandScope, type Principal } from "./principal.ts";
export { isCustomerScope, type Scope, scopeSchema } from "./scopes.ts";
