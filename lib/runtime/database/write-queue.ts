import { Fault } from "#lib/fault";
import type { Statement } from "./database.ts";
import type { WireOutcome } from "./worker-protocol.ts";

/** One commit takes at most this many statements, so that a reader never waits long for its turn. */
const statementsMax = 200;
/** … and this many bytes of texts and blobs. */
const bytesMax = 4 * 1024 * 1024;
/** Sets that may wait; more are refused with `unavailable`, since a disk this far behind needs its callers told. */
const waitingMax = 50_000;
/** How long a set that need not be durable at once waits for a commit that it may share. */
const laterMs = 20;

interface Waiting {
  readonly set: readonly Statement[];
  readonly bytes: number;
  /** It may wait for another's commit. */
  readonly later: boolean;
  resolve(outcome: WireOutcome): void;
  reject(error: unknown): void;
}

/**
 * Gathers sets while a commit is under way; one commit at a time, in the order in which they came. When idle a set goes out at once, when it
 * may go later, with the next one that does.
 */
export class WriteQueue {
  readonly #commit: (sets: readonly (readonly Statement[])[]) => Promise<readonly WireOutcome[]>;
  #waiting: Waiting[] = [];
  /** How many of them wait for nothing but their turn. */
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #busy = false;
  #idle: (() => void)[] = [];

  constructor(commit: (sets: readonly (readonly Statement[])[]) => Promise<readonly WireOutcome[]>) {
    this.#commit = commit;
  }

  /**
   * Resolves with what became of `set`; rejects when nothing could be heard of it, or when too many wait.
   * `later`: it may wait for another's commit.
   */
  add(set: readonly Statement[], later = false): Promise<WireOutcome> {
    if (this.#waiting.length >= waitingMax)
      return Promise.reject(new Fault("unavailable", "too many writes wait for the disk"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ set, bytes: bytesOf(set), later, resolve, reject });
      if (!later) this.#due += 1;
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is being committed. */
  drained(): Promise<void> {
    this.#callDue();
    return this.#busy ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  #schedule(): void {
    if (this.#busy || this.#waiting.length === 0) return;
    if (this.#due === 0) {
      this.#timer ??= setTimeout(() => this.#callDue(), laterMs);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#busy = true;
    queueMicrotask(() => void this.#run()); // what is written in the same turn shares the commit
  }

  /** Those that could wait have waited. */
  #callDue(): void {
    this.#timer = undefined;
    this.#waiting = this.#waiting.map((one) => ({ ...one, later: false }));
    this.#due = this.#waiting.length;
    this.#schedule();
  }

  async #run(): Promise<void> {
    while (this.#due > 0) {
      const group = this.#take();
      try {
        const outcomes = await this.#commit(group.map(({ set }) => set));
        group.forEach((one, index) => {
          const outcome = outcomes[index];
          if (outcome === undefined) one.reject(new TypeError("a set without an outcome"));
          else one.resolve(outcome);
        });
      } catch (error) {
        for (const one of group) one.reject(error);
      }
    }
    this.#busy = false;
    if (this.#waiting.length > 0) this.#schedule();
    else for (const done of this.#idle.splice(0)) done();
  }

  #take(): Waiting[] {
    let statements = 0;
    let bytes = 0;
    let count = 0;
    for (const one of this.#waiting) {
      statements += one.set.length;
      bytes += one.bytes;
      if (count > 0 && (statements > statementsMax || bytes > bytesMax)) break;
      count += 1;
    }
    const group = this.#waiting.splice(0, count);
    for (const { later } of group) if (!later) this.#due -= 1;
    return group;
  }
}

function bytesOf(set: readonly Statement[]): number {
  let bytes = 0;
  for (const { params = [] } of set)
    for (const value of params) if (typeof value === "string" || value instanceof Uint8Array) bytes += value.length;
  return bytes;
}
