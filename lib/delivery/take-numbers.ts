/** How far a lane has come at ingest. */
export interface Watermark {
  readonly generation: number;
  readonly number: number;
}

/** Numbers `first` … `first + count - 1` of `generation`, as an entry brings them. */
export interface Numbers {
  readonly generation: number;
  readonly first: number;
  readonly count: number;
}

/**
 * What an entry's numbers mean: its messages from index `skip` on are new; all were taken before (`nothing`), so that
 * its status counts; it has none, and some before it were not taken (`ignore`), so that its status may say too much; or
 * why none is taken.
 */
export type Taking =
  | { readonly take: "new"; readonly skip: number; readonly watermark: Watermark }
  | { readonly take: "nothing" }
  | { readonly take: "ignore" }
  | { readonly take: "refuse"; readonly code: "gap" | "statement_stale" };

/**
 * Takes exactly what follows the watermark (DESIGN §4): repeats are passed over, a hole is refused, and so is what an
 * older copy of the site's store sends under a generation that has ended. A new generation begins at number 1.
 */
export function takeNumbers(watermark: Watermark, { generation, first, count }: Numbers): Taking {
  const next = generation > watermark.generation ? 1 : watermark.number + 1;
  if (count === 0) return { take: generation < watermark.generation || first > next ? "ignore" : "nothing" };
  if (generation < watermark.generation) return { take: "refuse", code: "statement_stale" };
  if (first > next || first < 1) return { take: "refuse", code: "gap" };
  const skip = next - first;
  if (skip >= count) return generation > watermark.generation ? { take: "refuse", code: "gap" } : { take: "nothing" };
  return { take: "new", skip, watermark: { generation, number: first + count - 1 } };
}
