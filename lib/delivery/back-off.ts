/** How long to wait before another try. */
export interface BackOffRange {
  /** Upper bound of the first wait, ms. */
  readonly firstMs: number;
  /** No wait is longer, ms. */
  readonly maxMs: number;
}

/**
 * Full jitter, exponential: a random time up to `firstMs * 2^attempt`, at most `maxMs`. `attempt` counts from 0; `fraction` is
 * random, 0 up to 1. Pure.
 */
export function backOffMs(attempt: number, { firstMs, maxMs }: BackOffRange, fraction: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 40)) * fraction;
}
