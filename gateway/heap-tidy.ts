import type { Cancel, Clock } from "#lib/clock";

/** Openings between two collections, at least; each leaves some 100 KiB of garbage among the few KiB that stay. */
const openingsMin = 300;
/** And this part of the sessions held, since a collection takes time for each of them. */
const sessionsPart = 1 / 8;
/** After the last opening of a burst. */
const quietMs = 5_000;

/**
 * Has garbage collected while many tunnels open, and once after. What stays of a session lies where it was made; left to
 * itself the runtime lets as much garbage gather between as lives, and that memory does not come back (5,000 idle
 * sessions: a quarter less).
 */
export class HeapTidy implements Disposable {
  readonly #clock: Clock;
  readonly #collect: () => void;
  #opened = 0;
  #cancel: Cancel = () => undefined;

  constructor(clock: Clock, collect: () => void) {
    this.#clock = clock;
    this.#collect = collect;
  }

  /** A session was opened; `sessions` are held now. */
  opened(sessions: number): void {
    this.#opened += 1;
    const due = this.#opened >= Math.max(openingsMin, sessions * sessionsPart);
    if (due || this.#opened === 1) this.#later(due ? 0 : quietMs);
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #later(delayMs: number): void {
    this.#cancel();
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#opened = 0;
      this.#collect();
    });
  }
}
