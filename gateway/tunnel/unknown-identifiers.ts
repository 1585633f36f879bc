import { unknownIdentifierMemoryMs } from "#lib/limits";

/** Remembered at once; past it the oldest are forgotten, which costs a question to Solaris and nothing else. */
const identifiersMax = 20_000;

/** Identifiers that Solaris did not know, for a minute (PROTOCOL §5). */
export class UnknownIdentifiers {
  readonly #untilMs = new Map<string, number>();

  /** Whether Solaris lately said that it does not know `identifier`. `nowMs` is monotonic. */
  has(identifier: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(identifier);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.#untilMs.delete(identifier);
    return false;
  }

  /** Remembers `identifier` from now on. */
  add(identifier: string, nowMs: number): void {
    this.#untilMs.delete(identifier);
    this.#untilMs.set(identifier, nowMs + unknownIdentifierMemoryMs);
    for (const [oldest, untilMs] of this.#untilMs) {
      if (this.#untilMs.size <= identifiersMax && untilMs > nowMs) break;
      this.#untilMs.delete(oldest);
    }
  }
}
