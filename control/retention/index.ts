/** How long what is kept, and the purge that sees to it. */
export { purgeForever, purgeOnce } from "./purge.ts";
export { retentionRoutes } from "./routes.ts";
export { defaultRetention, type Retention, retentionSchema } from "./settings.ts";
