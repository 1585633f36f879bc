import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";

/** Work that goes on beside everything else until it is disposed; disposing aborts it and waits for its end. */
export class Background implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();

  /** Aborts when the work has to end. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Begins `work`; what it rejects with before it was told to end goes to `failed`. */
  begin(work: (signal: AbortSignal) => Promise<void>, failed: (fault: Fault) => void): void {
    const run = async () => {
      try {
        await work(this.#stop.signal);
      } catch (error) {
        if (!this.#stop.signal.aborted) failed(asFault(error, "internal"));
      }
    };
    const running = run().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("closed"));
    await Promise.all(this.#running);
  }
}

/** Something to wait for that may ring before its time. */
export class Bell {
  #rung = false;
  #wake: () => void = () => undefined;

  /** Ends the wait under way, or the next one. */
  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Resolves when it rings (true), after `delayMs`, or when `signal` aborts. */
  async wait(clock: Clock, delayMs: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal.aborted)
      await new Promise<void>((resolve) => {
        const cancel = clock.after(Math.max(0, delayMs), () => done());
        const done = () => {
          cancel();
          signal.removeEventListener("abort", done);
          resolve();
        };
        signal.addEventListener("abort", done, { once: true });
        this.#wake = done;
      });
    this.#wake = () => undefined;
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
