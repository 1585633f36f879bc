import { TokenBucket } from "./token-bucket.ts";

/** Addresses remembered at once; past it new ones share one bucket, so that a flood of addresses stays bounded. */
const addressesMax = 50_000;

/**
 * Openings per client address. An opening that Solaris accepts gives its token back: many agents behind one
 * address are no flood, refused openings are.
 */
export class AddressLimits {
  readonly #perMinute: number;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #overflow: TokenBucket;

  /** `perMinute` refused openings of one address are let through to Solaris. `nowMs` is monotonic. */
  constructor(perMinute: number, nowMs: number) {
    this.#perMinute = perMinute;
    this.#overflow = this.#bucket(nowMs);
  }

  /** Spends one opening of `address`; false when it has none left. */
  take(address: string, nowMs: number): boolean {
    return this.#of(address, nowMs).take(nowMs);
  }

  /** Returns what `take` spent. */
  giveBack(address: string, nowMs: number): void {
    this.#of(address, nowMs).giveBack();
  }

  /** Forgets the addresses that owe nothing. To be called now and then. */
  sweep(nowMs: number): void {
    for (const [address, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(address);
  }

  #of(address: string, nowMs: number): TokenBucket {
    const known = this.#buckets.get(address);
    if (known !== undefined) return known;
    if (this.#buckets.size >= addressesMax) return this.#overflow;
    const bucket = this.#bucket(nowMs);
    this.#buckets.set(address, bucket);
    return bucket;
  }

  #bucket(nowMs: number): TokenBucket {
    return new TokenBucket(this.#perMinute / 60, this.#perMinute, nowMs);
  }
}
