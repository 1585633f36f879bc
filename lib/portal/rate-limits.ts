import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { peersMax, rateLimitRpmDefault } from "#lib/limits";
import type { VerifiedPeer } from "#lib/link";

interface Bucket {
  left: number;
  atMs: number;
}

/**
 * `rate_limit_rpm` of the nodes that are served here: stream opens and HTTP requests of one identity, all outlets of this process
 * together. A minute's worth may come at once; then they come in as fast as the rate says.
 */
export class RateLimits {
  readonly #clock: Clock;
  /** The longest unused first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one. Fault `limited` (detail `retryAfterMs`) when there are more than the node's credential allows. */
  take({ identity: { identifier }, credential }: VerifiedPeer): void {
    const said = credential.attrs.rate_limit_rpm;
    const rpm = typeof said === "number" && said >= 0 ? said : rateLimitRpmDefault;
    const now = this.#clock.monotonic();
    const { left, atMs } = this.#buckets.get(identifier) ?? { left: rpm, atMs: now };
    const bucket = { left: Math.min(rpm, left + ((now - atMs) * rpm) / 60_000), atMs: now };
    this.#buckets.delete(identifier);
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined && this.#buckets.size >= peersMax) this.#buckets.delete(oldest);
    this.#buckets.set(identifier, bucket);
    if (bucket.left >= 1) {
      bucket.left--;
      return;
    }
    const retryAfterMs = rpm === 0 ? 60_000 : Math.ceil(((1 - bucket.left) * 60_000) / rpm);
    throw new Fault("limited", `more than ${rpm} a minute`, { detail: { retryAfterMs } });
  }
}
