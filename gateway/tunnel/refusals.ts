import type { Digest } from "#lib/session";

type Refusal = Digest["refusals"][number];

/** Distinct (address, reason, minute) held until the next digest; past it they are counted under no address. */
const refusalsMax = 5_000;

/** Openings refused before the MAC held, counted per address, reason and minute (PROTOCOL §5). */
export class Refusals {
  #counts = new Map<string, Refusal>();

  /** Counts one. `sub` is what the header claimed, unverified; the last one of the minute is kept. `nowMs` is wall time. */
  count(address: string, code: string, sub: string | null, nowMs: number): void {
    const minute = nowMs - (nowMs % 60_000);
    const place = this.#counts.size < refusalsMax ? address : "";
    const key = `${minute} ${code} ${place}`;
    const known = this.#counts.get(key);
    this.#counts.set(key, { address: place, code, sub, minute, count: (known?.count ?? 0) + 1 });
  }

  /** Takes out at most `max` of what was counted. */
  take(max: number): Refusal[] {
    const taken = [...this.#counts.entries()].slice(0, max);
    for (const [key] of taken) this.#counts.delete(key);
    return taken.map(([, refusal]) => refusal);
  }

  /** Puts back what could not be delivered. */
  putBack(refusals: readonly Refusal[]): void {
    for (const refusal of refusals) {
      const key = `${refusal.minute} ${refusal.code} ${refusal.address}`;
      const known = this.#counts.get(key);
      if (known === undefined && this.#counts.size >= 2 * refusalsMax) continue; // bounded: a long outage loses detail, never memory
      this.#counts.set(key, { ...refusal, count: refusal.count + (known?.count ?? 0) });
    }
  }
}
