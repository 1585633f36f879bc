import type { Clock } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Database } from "#lib/runtime";
import type { Broker } from "../broker.ts";

/** How the embedded broker is made. Sizes in bytes. */
export interface EmbeddedBrokerOptions {
  /** Its own file (`broker.db`), migrated with `migrations/broker`; disposed by whoever opened it, after the broker. */
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Unconfirmed bytes of one lane. Default 256 MiB. */
  readonly laneBytesMax?: number;
  /** Unconfirmed bytes of all lanes. Default 4 GiB. */
  readonly bytesMax?: number;
  /** How often the file is asked for what other processes wrote. Default 100 ms. */
  readonly pollIntervalMs?: number;
}

/** The broker of one machine, in one encrypted file; several processes may share it. */
export function embeddedBroker(_options: EmbeddedBrokerOptions): Promise<Broker> {
  throw new TypeError("not yet");
}
