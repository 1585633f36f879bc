import type { Log } from "#lib/log";
import type { EmbeddedStore } from "./embedded-store.ts";

/** Entries that one statement takes out at most. */
const takenMax = 1_000;

/** Confirmed entries of all readers on their way to the file: one write at a time, what comes meanwhile goes in the next. */
export class Confirmations {
  readonly #store: EmbeddedStore;
  readonly #log: Log;
  #waiting: number[] = [];
  #writing: Promise<void> | undefined;

  constructor(store: EmbeddedStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  add(seqs: readonly number[]): void {
    if (seqs.length === 0) return;
    this.#waiting.push(...seqs);
    this.#writing ??= this.#write();
  }

  /** Resolves when all that was added before is written, or could not be. */
  async written(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // what is confirmed in the same turn goes along
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.splice(0, takenMax);
      try {
        await this.#store.takeOutEach(taken);
      } catch (error) {
        // They wait on in the file, come again at or below their readers' cursors at the next opening, and go then.
        this.#log.warn("confirmations were not written", { error, entries: taken.length });
      }
    }
    this.#writing = undefined;
  }
}
