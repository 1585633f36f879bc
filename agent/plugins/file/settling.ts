import type { FileFacts } from "#lib/runtime";
import { isSameVersion } from "./picked-file.ts";

/** A file of no bytes is most often one that a writer has just made and not filled yet: it is given longer, ms. */
const emptySettleMs = 5_000;

/** Tells which files have not changed for `settleMs`, from one look at a directory to the next. */
export class Settling {
  readonly #settleMs: number;
  #seen = new Map<string, { readonly facts: FileFacts; readonly sinceMs: number }>();

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  /** Takes what is there now; answers what is whole, the oldest first, and when to look again for the rest. */
  look(
    files: readonly FileFacts[],
    nowMs: number,
  ): { readonly whole: FileFacts[]; readonly againMs: number | undefined } {
    const seen = new Map<string, { readonly facts: FileFacts; readonly sinceMs: number }>();
    const whole: FileFacts[] = [];
    let againMs: number | undefined;
    for (const facts of files) {
      const before = this.#seen.get(facts.name);
      const sinceMs = before !== undefined && isSameVersion(before.facts, facts) ? before.sinceMs : nowMs;
      seen.set(facts.name, { facts, sinceMs });
      const settleMs = facts.sizeBytes === 0 ? Math.max(emptySettleMs, this.#settleMs) : this.#settleMs;
      const leftMs = sinceMs + settleMs - nowMs;
      if (leftMs <= 0) whole.push(facts);
      else againMs = Math.min(againMs ?? Infinity, leftMs);
    }
    this.#seen = seen; // what is gone is forgotten
    whole.sort((a, b) => a.modifiedMs - b.modifiedMs || (a.name < b.name ? -1 : 1));
    return { whole, againMs };
  }
}
