import type { Cancel, Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { RevocationList } from "./revocation-list.ts";

const everyMs = 1_000;
/** A Nexus that could not learn the list's number for this long admits nobody (DESIGN §5). */
const staleMs = 5_000;

/** What the watch asks. */
export interface RevocationSources {
  /** Number of the list that the broker holds, which is offered to the list; undefined = none. Rejects when it can't be read. */
  broker(): Promise<number | undefined>;
  /** Has the list taken from Solaris, which is its source. */
  solaris(): Promise<void>;
}

/** Reads the list from the broker each second; asks Solaris when the broker names one that it does not prove. */
export class RevocationWatch implements Disposable {
  readonly #clock: Clock;
  readonly #list: RevocationList;
  readonly #sources: RevocationSources;
  readonly #log: Log;
  #cancel: Cancel = () => undefined;
  #currentAtMs: number | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #wanted = 0;
  #stopped = false;

  constructor(clock: Clock, list: RevocationList, sources: RevocationSources, log: Log) {
    this.#clock = clock;
    this.#list = list;
    this.#sources = sources;
    this.#log = log;
  }

  /** Whether the list held was the newest within the last 5 s. */
  get current(): boolean {
    return this.#currentAtMs !== undefined && this.#clock.monotonic() - this.#currentAtMs <= staleMs;
  }

  /** Looks now, then each second. */
  start(): Promise<void> {
    return this.look();
  }

  /** Looks until a list of this number or a newer one is held: a peer's credential names it. False when there is none. */
  async lookFor(number: number): Promise<boolean> {
    this.#wanted = Math.max(this.#wanted, number);
    for (let looks = 0; looks < 2 && this.#list.number < number; looks++) await this.look(); // one may be under way already
    this.#wanted = 0;
    return this.#list.number >= number;
  }

  /** Looks now: after a reconnect, or at a hint. */
  look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true;
      return this.#looking;
    }
    this.#cancel();
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
      if (this.#stopped) return;
      const delayMs = this.#again ? 0 : everyMs;
      this.#again = false;
      this.#cancel = this.#clock.after(delayMs, () => void this.look());
    });
    return this.#looking;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    const beganMs = this.#clock.monotonic();
    try {
      const number = await within(this.#clock, staleMs, this.#sources.broker());
      if (number === undefined || Math.max(number, this.#wanted) > this.#list.number) await this.#sources.solaris();
      if (this.#list.number === 0 || this.#list.number < (number ?? 0))
        throw new Fault("unavailable", "Solaris has no list as new as the broker says");
      this.#currentAtMs = beganMs;
    } catch (error) {
      const fault = asFault(error, "broker");
      this.#log.warn("the revocation list can't be checked", { code: fault.code, reason: fault.message });
    }
  }
}

/** `work`, or Fault `timeout` when it takes longer than `timeoutMs`. */
function within<T>(clock: Clock, timeoutMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => reject(new Fault("timeout")));
    work.then(resolve, reject).finally(cancel);
  });
}
