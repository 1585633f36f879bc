import type { SqlValue } from "#lib/runtime";

/** A lane as it stands in the store. */
export interface LaneRow {
  readonly id: number;
  readonly name: string;
  readonly created: string | null;
  readonly stored_seq: number;
  readonly stored_position: number;
  readonly stored_n: number;
  readonly settled_n: number;
  readonly settled_index: number;
  readonly settled_created: string | null;
  readonly settled_position: number;
  readonly settled_at: number;
  readonly calling: number;
  readonly tries: number;
  readonly generation: number;
  readonly next_number: number;
  readonly outbox_n: number;
}

/** Lanes' rows lie in `k` ranges of this size: key = lane id * 2^40 + n. */
export const laneSpan = 2 ** 40;

/** A number column. TypeError when the schema is not what this code was written for. */
export function numberOf(value: SqlValue | undefined): number {
  if (typeof value !== "number") throw new TypeError("a column does not hold a number");
  return value;
}
