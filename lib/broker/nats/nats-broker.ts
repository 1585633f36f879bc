import type { Clock, Random } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Broker } from "../broker.ts";

/** How the NATS broker is reached. */
export interface NatsBrokerOptions {
  /** `ws://` or `wss://` addresses of one cluster. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** Name of this connection in the server's monitoring. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Makes missing streams and sets differing ones right (Solaris). Default false: they are only checked (Nexus). */
  readonly provision?: boolean;
  /** Sizes of the streams; only with `provision`, and checked by all. */
  readonly sizes?: Partial<StreamSizes>;
  /** How long one request may take, ms. Default 5,000. */
  readonly requestTimeoutMs?: number;
}

/** Bytes that each kind of stream may hold. */
export interface StreamSizes {
  /** Each of the 64 shards of the down lanes. Default 64 MiB. */
  readonly downShardBytes: number;
  /** Entries of one down lane. Default 20,000. */
  readonly downLaneEntries: number;
  /** Default 1 GiB. */
  readonly upBytes: number;
  /** Default 512 MiB. */
  readonly eventBytes: number;
  /** Default 256 MiB. */
  readonly desiredBytes: number;
}

/** Connects, checks (or makes) the streams. Fault `broker` when nobody answers, `broker_settings` when they are not as they must be. */
export function natsBroker(_options: NatsBrokerOptions): Promise<Broker> {
  throw new TypeError("not yet");
}
