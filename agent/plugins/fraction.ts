import type { Random } from "#lib/clock";

/** A random number from 0 up to 1, for jitter. */
export function fraction(random: Random): number {
  const [high = 0, low = 0] = random(2);
  return (high * 256 + low) / 65_536;
}
