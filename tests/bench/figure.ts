/** One measured number beside its yardstick, both of the same run. */
export interface Figure {
  readonly name: string;
  readonly value: number | null;
  readonly unit: string;
  /** What the same load reached on the yardstick, in the same unit; null where a fixed number is the target. */
  readonly yardstick: number | null;
  /** value ÷ yardstick; null without a yardstick. */
  readonly ratio: number | null;
  /** What is asked, in words: `≥ 5000`, `≥ 0.3 ×`, `≤ 10`. */
  readonly target: string;
  /** Whether it is reached; null where a peer is not installed (named on stderr). */
  readonly ok: boolean | null;
}

/** At least `target` of `unit`. */
export function atLeast(name: string, value: number, unit: string, target: number): Figure {
  return { name, value, unit, yardstick: null, ratio: null, target: `≥ ${target}`, ok: value >= target };
}

/** At most `target` of `unit`. */
export function atMost(name: string, value: number, unit: string, target: number): Figure {
  return { name, value, unit, yardstick: null, ratio: null, target: `≤ ${target}`, ok: value <= target };
}

/** At most `target`; the yardstick is what the machine itself reached meanwhile, shown and not counted. */
export function atMostBeside(name: string, value: number, unit: string, yardstick: number, target: number): Figure {
  return { ...atMost(name, value, unit, target), yardstick, ratio: value / yardstick };
}

/** At least `factor` times what the yardstick reached. */
export function atLeastTimes(name: string, value: number, unit: string, yardstick: number, factor: number): Figure {
  const ratio = value / yardstick;
  return { name, value, unit, yardstick, ratio, target: `≥ ${factor} ×`, ok: ratio >= factor };
}

/** At most `margin` above what the yardstick reached. */
export function atMostOver(name: string, value: number, unit: string, yardstick: number, margin: number): Figure {
  const target = `≤ yardstick + ${margin}`;
  return { name, value, unit, yardstick, ratio: value / yardstick, target, ok: value - yardstick <= margin };
}

/** At least `factor` times what a peer reached; without the peer the value alone, judged by nobody. */
export function timesPeer(name: string, value: number, unit: string, peer: number | undefined, factor: number): Figure {
  if (peer !== undefined) return atLeastTimes(name, value, unit, peer, factor);
  return { name, value, unit, yardstick: null, ratio: null, target: `≥ ${factor} ×`, ok: null };
}

/** At most `target`, or at most `factor` times what a peer reached. */
export function atMostOrTimesPeer(
  name: string,
  value: number,
  unit: string,
  peer: number | undefined,
  { target, factor }: { target: number; factor: number },
): Figure {
  const words = `≤ ${target} or ≤ ${factor} ×`;
  if (peer === undefined) {
    const ok = value <= target ? true : null;
    return { name, value, unit, yardstick: null, ratio: null, target: words, ok };
  }
  const ratio = value / peer;
  return { name, value, unit, yardstick: peer, ratio, target: words, ok: value <= target || ratio <= factor };
}

/** What could not be measured here, since a peer is not installed. */
export function notMeasured(name: string): Figure {
  return { name, value: null, unit: "", yardstick: null, ratio: null, target: "", ok: null };
}
