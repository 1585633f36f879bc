/** Customers and their licences. */

export { licenceRoutes } from "./licence-routes.ts";
export { type CustomerRow, type LicenceRow, licenceById } from "./repo.ts";
export { customerRoutes } from "./routes.ts";
export { enteredAttributesSchema, licenceAttributes, licenceProblem } from "./rules.ts";
export { findCustomer, licenceForAgent } from "./service.ts";
export { customers, licences } from "./tables.ts";
