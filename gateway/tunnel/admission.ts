import { TokenBucket } from "./token-bucket.ts";

/** Where the ramp begins: half of what one Nexus with its Solaris opens on two cores (300/s). */
export const admissionRateStart = 150;
const rateMin = 10;
const rateMax = 5_000;
/** Openings slower than this say that Solaris or its KMS is at its limit. */
const slowMs = 1_000;
const quickMs = 250;
/** Nothing unauthenticated delays an agent by more than this (PROTOCOL §5). */
const retryAfterMaxMs = 5 * 60_000;

/**
 * How many openings a second are let through to Solaris. Begins at half the expected rate, grows by a quarter each
 * second while openings are quick and some had to wait, falls to half of what was completed when they are slow
 * (DESIGN §8). One that must wait is told its place in a queue that exists as a number only.
 */
export class Admission {
  #perSecond: number;
  readonly #bucket: TokenBucket;
  #completed = 0;
  #spentMs = 0;
  #waited = 0;
  #secondBeganMs: number;
  #placeAtMs: number;

  /** `nowMs` is monotonic; `perSecond` the rate to begin with. */
  constructor(nowMs: number, perSecond: number = admissionRateStart) {
    this.#perSecond = perSecond;
    this.#bucket = new TokenBucket(perSecond, perSecond, nowMs);
    this.#secondBeganMs = nowMs;
    this.#placeAtMs = nowMs;
  }

  /** Openings a second that are let through now. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** 0 = go on; else the time in ms to come back after, ± 10 % by `jitter` (0 … 1). */
  enter(nowMs: number, jitter: number): number {
    this.#adjust(nowMs);
    if (this.#bucket.take(nowMs)) return 0;
    this.#waited += 1;
    this.#placeAtMs = Math.max(this.#placeAtMs, nowMs) + 1_000 / this.#perSecond;
    const waitMs = Math.min(retryAfterMaxMs / 1.1, this.#placeAtMs - nowMs);
    return Math.max(1, Math.round(waitMs * (0.9 + 0.2 * jitter)));
  }

  /** An opening that was let through was answered by Solaris after `tookMs`. */
  completed(tookMs: number): void {
    this.#completed += 1;
    this.#spentMs += tookMs;
  }

  #adjust(nowMs: number): void {
    const elapsedMs = nowMs - this.#secondBeganMs;
    if (elapsedMs < 1_000) return;
    const meanMs = this.#completed === 0 ? 0 : this.#spentMs / this.#completed;
    if (meanMs > slowMs) this.#perSecond = Math.max(rateMin, (this.#completed * 1_000) / elapsedMs / 2);
    else if (this.#waited > 0 && meanMs < quickMs) this.#perSecond = Math.min(rateMax, this.#perSecond * 1.25);
    this.#bucket.setRate(this.#perSecond, nowMs);
    this.#completed = 0;
    this.#spentMs = 0;
    this.#waited = 0;
    this.#secondBeganMs = nowMs;
  }
}
