/** What agent, gateway and control say to one another: schemas checked on the way in and on the way out. Layer 2. */

export { type FileConfig, fileConfigSchema } from "./connectors/file.ts";
export { type HttpConfig, httpConfigSchema } from "./connectors/http.ts";
export { type ConnectorType, connectorTypes, type OnceGuarantee, testConnectorTypes } from "./connectors/index.ts";
export { type NoopConfig, noopConfigSchema } from "./connectors/noop.ts";
export { mapSecrets, secretMask } from "./connectors/secret.ts";
export { type WebhookConfig, webhookConfigSchema } from "./connectors/webhook.ts";
export * from "./control-stream.ts";
export * from "./desired.ts";
export * from "./entries.ts";
export * from "./fields.ts";
export * from "./lane-streams.ts";
export * from "./message-id.ts";
export * from "./nexus-api.ts";
export * from "./peer-stream.ts";
export * from "./portals.ts";
export { peerStream, sessionStreams } from "./stream-names.ts";
