import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Db } from "../../db/index.ts";

const minuteMs = 60_000;
/** A replica takes this part of a minute's allowance at once, so that a busy licence costs a write or so a second. */
const blocksPerMinute = 60;
const rememberedMax = 10_000;

/** Counts messages per licence over all replicas (PROTOCOL §10). */
export interface RateLimiter {
  /** Spends `count` of the licence's minute. Fault `limited` with the time until the next when it has less left. */
  spend(licence: { readonly id: string; readonly rateLimitRpm: number }, count: number): Promise<void>;
}

export function makeRateLimiter(deps: { readonly db: Db; readonly clock: Clock }): RateLimiter {
  const blocks = new Map<string, { readonly minute: number; left: number }>();

  /** Takes `amount` out of the window in one atomic statement; false when less is left. */
  async function lease(licenceId: string, minute: number, amount: number, limit: number): Promise<boolean> {
    if (amount > limit) return false;
    const [result] = await deps.db.write({
      sql: `INSERT INTO rate_windows (licence, minute, used) VALUES (?, ?, ?)
        ON CONFLICT (licence, minute) DO UPDATE SET used = used + excluded.used WHERE used + excluded.used <= ?
        RETURNING used`,
      params: [licenceId, minute, amount, limit],
    });
    return (result?.rows.length ?? 0) > 0;
  }

  return {
    async spend({ id, rateLimitRpm }, count) {
      const now = deps.clock.now();
      const minute = Math.floor(now / minuteMs);
      const known = blocks.get(id);
      const block = known?.minute === minute ? known : { minute, left: 0 };
      if (block !== known) {
        if (blocks.size >= rememberedMax) blocks.clear();
        blocks.set(id, block);
      }
      if (block.left >= count) {
        block.left -= count;
        return;
      }
      const missing = count - block.left;
      block.left = 0;
      const generous = Math.max(missing, Math.ceil(rateLimitRpm / blocksPerMinute));
      if (await lease(id, minute, generous, rateLimitRpm)) block.left += generous - missing;
      else if (!(await lease(id, minute, missing, rateLimitRpm))) {
        block.left += count - missing;
        throw new Fault("limited", "the licence's messages of this minute are spent", {
          detail: { retryAfterMs: (minute + 1) * minuteMs - now },
        });
      }
    },
  };
}
