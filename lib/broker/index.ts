/** Durable delivery in both directions (DESIGN §5): one port, on NATS JetStream or in one libSQL file. Layer 3. */
export type {
  Broker,
  CommandQueue,
  Cursor,
  Destination,
  DownLane,
  Entry,
  EventLane,
  Heard,
  Lease,
  OpenOptions,
  OpenSource,
  Receipt,
  Source,
  Topic,
  Unlisten,
  UpLane,
  Usage,
  Value,
  ValueName,
} from "./broker.ts";
export { type BrokerConfigOptions, brokerConfig, type ConfigSecret } from "./broker-config.ts";
export { type EmbeddedBrokerOptions, embeddedBroker } from "./embedded/embedded-broker.ts";
export { type NatsBrokerOptions, natsBroker } from "./nats/nats-broker.ts";
export { natsMessages, type PlainMessages } from "./nats/nats-messages.ts";
export type { StreamSizes } from "./nats/stream-settings.ts";
