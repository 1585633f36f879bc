/** How long a publish's id is known, ms: a second publish under it is a duplicate. */
export const dedupWindowMs = 120_000;
/** Commands live this long, ms. */
export const commandLifeMs = 600_000;
/** A replica's lease is gone this long after its last write, ms. */
export const nodeLifeMs = 15_000;
/** Events are kept this long at most, ms. */
export const eventLifeMs = 7 * 24 * 3_600_000;
