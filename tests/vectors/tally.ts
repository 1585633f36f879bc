import type { Verdict } from "./verdict.ts";

/** Failures shown of one file; the rest is counted. */
const failuresShownMax = 20;

/** What became of the cases of one file. */
export interface Tally {
  readonly run: number;
  readonly passed: number;
  readonly failed: number;
  readonly notApplicable: number;
  /** Whether the file counts as good: at least one case ran and none failed. */
  readonly ok: boolean;
  /** Lines for people: the counts, then the failures and the reasons why cases did not apply. */
  readonly lines: readonly string[];
}

/** Counts the verdicts of `file`. */
export function tally(file: string, verdicts: readonly Verdict[]): Tally {
  const failures = verdicts.filter((verdict) => verdict.kind === "failed");
  const passed = verdicts.filter((verdict) => verdict.kind === "passed").length;
  const run = passed + failures.length;
  const notApplicable = verdicts.length - run;
  const lines = [`${file}: run ${run}, passed ${passed}, failed ${failures.length}, not applicable ${notApplicable}`];
  for (const { name, reason } of failures.slice(0, failuresShownMax)) lines.push(`  failed: ${name}: ${reason}`);
  if (failures.length > failuresShownMax) lines.push(`  and ${failures.length - failuresShownMax} more failed`);
  for (const [reason, count] of reasons(verdicts)) lines.push(`  not applicable: ${count} of ${reason}`);
  if (run === 0) lines.push("  no case ran, so this file proves nothing");
  return { run, passed, failed: failures.length, notApplicable, ok: run > 0 && failures.length === 0, lines };
}

function reasons(verdicts: readonly Verdict[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const verdict of verdicts)
    if (verdict.kind === "not applicable") counts.set(verdict.reason, (counts.get(verdict.reason) ?? 0) + 1);
  return counts;
}
