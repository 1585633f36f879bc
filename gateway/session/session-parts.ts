import type { Broker } from "#lib/broker";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import type { VerifiedIdentity } from "#lib/identity";
import type { Log } from "#lib/log";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { Outlets } from "../outlets/outlets.ts";
import type { RelaySwitch } from "../relay/relay-switch.ts";
import type { RevocationList } from "../replica/revocation-list.ts";
import type { SolarisClient } from "../replica/solaris-client.ts";
import type { Presence } from "./presence.ts";
import type { Registry } from "./registry.ts";

/** What every session of a replica shares. */
export interface SessionParts {
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly log: Log;
  readonly broker: Broker;
  readonly solaris: Pick<SolarisClient, "ready" | "refresh">;
  readonly registry: Registry;
  readonly presence: Presence;
  readonly revocations: RevocationList;
  readonly metrics: GatewayMetrics;
  readonly relay: Pick<RelaySwitch, "open">;
  readonly outlets: Pick<Outlets, "serve">;
  /** The authority as the replica knows it now. */
  authority(): VerifiedIdentity;
}
