import type { Fault } from "#lib/fault";

/** An entry as the broker gives it. */
export interface BrokerEntry {
  readonly created: string;
  readonly seq: number;
  /** Id under which it was published: a stream that lost its end gives its sequences out again. */
  readonly id: string;
  readonly agent: string;
  readonly plugin: string;
  readonly bytes: Uint8Array;
}

/** Entries between the broker's callback and the one reader. Its length is bounded by what the broker leaves unconfirmed. */
export class ArrivalQueue {
  #waiting: BrokerEntry[] = [];
  #fault: Fault | undefined;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  put(entry: BrokerEntry): void {
    this.#waiting.push(entry);
    this.#wake?.();
  }

  /** Nothing more comes, for this reason. */
  end(fault: Fault): void {
    this.#fault = fault;
    this.#wake?.();
  }

  /** All that wait, at least one, at most so many; empty after an abort. Rejects with the fault that ended the source. */
  async take(entriesMax: number, bytesMax: number): Promise<BrokerEntry[]> {
    while (this.#waiting.length === 0 && this.#fault === undefined && !this.#signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = undefined;
    if (this.#signal.aborted) return [];
    if (this.#waiting.length === 0 && this.#fault !== undefined) throw this.#fault;
    let bytes = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      bytes += entry.bytes.length;
      if (count > 0 && (count >= entriesMax || bytes > bytesMax)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}
