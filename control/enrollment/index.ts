/** Enrollment: a token becomes a trusted identity, once. */
export { enrollmentNexusRoutes } from "./routes.ts";
