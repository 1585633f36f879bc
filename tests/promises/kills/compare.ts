/** What was handed over at one end of a lane and what is at the other, by number. */
export interface BothEnds {
  /** Numbers whose hand-over was acknowledged, in the order of the hand-overs. */
  readonly accepted: readonly number[];
  /** Numbers at the far end, in the order in which they took effect there. */
  readonly arrived: readonly number[];
  /** Numbers of which the API says that nobody can know: they may have arrived or not. */
  readonly unknown?: readonly number[];
}

const shownMax = 5;

/** Everything that breaks promise 1: what is missing, there twice, there unasked, out of order. Empty = it held. */
export function compare({ accepted, arrived, unknown = [] }: BothEnds): string[] {
  const problems: string[] = [];
  const tell = (what: string, numbers: readonly (number | string)[]) => {
    if (numbers.length === 0) return;
    const more = numbers.length > shownMax ? ", …" : "";
    problems.push(`${numbers.length} ${what}: ${numbers.slice(0, shownMax).join(", ")}${more}`);
  };
  const uncertain = new Set(unknown);
  const asked = new Set(accepted);
  const there = new Set(arrived);
  tell(
    "lost",
    accepted.filter((number) => !there.has(number) && !uncertain.has(number)),
  );
  tell("applied twice", repeated(arrived));
  tell(
    "there and never acknowledged",
    [...there].filter((number) => !asked.has(number)),
  );
  const place = new Map(accepted.map((number, index) => [number, index]));
  const known = arrived.filter((number) => asked.has(number));
  tell(
    "out of order",
    known.flatMap((number, index) => {
      const before = known[index - 1];
      if (before === undefined || before === number) return [];
      return (place.get(before) ?? 0) > (place.get(number) ?? 0) ? [`${number} after ${before}`] : [];
    }),
  );
  return problems;
}

function repeated(numbers: readonly number[]): number[] {
  const seen = new Set<number>();
  return numbers.filter((number) => {
    const again = seen.has(number);
    seen.add(number);
    return again;
  });
}
