/** Messages in both directions: push, ingest, what was received, dead letters. */
export { type IngestDeps, ingest } from "./ingest/ingest.ts";
export { makeLaneChecks } from "./ingest/lane-checks.ts";
export { letterRoutes } from "./letters/letter-routes.ts";
export { quarantineRoutes } from "./letters/quarantine-routes.ts";
export { type MessageMetrics, messageMetrics, noMessageMetrics } from "./message-metrics.ts";
export { messageRoutes } from "./message-routes.ts";
export { keepAdopting } from "./push/adopt-entries.ts";
export { makeCarry } from "./push/carry.ts";
export { pushRoutes } from "./push/push-routes.ts";
export { makePusher } from "./push/pusher.ts";
export { makeRateLimiter } from "./push/rate-limiter.ts";
export { makeTargets } from "./push/target.ts";
export { makeReceivedFeed } from "./received/feed.ts";
export { type PublishEvent, publishEvents } from "./received/publish-events.ts";
export { receivedRoutes } from "./received/received-routes.ts";
export { makeMessageWatch } from "./watch.ts";
