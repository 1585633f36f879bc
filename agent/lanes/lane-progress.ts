import type { Clock } from "#lib/clock";
import type { Fault } from "#lib/fault";
import { asFault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { LaneInbox, Settled } from "../store/inbox.ts";
import type { StoredEntry } from "../store/incoming.ts";

/** Marks are written this far apart at least, ms: what is settled meanwhile shares one write. */
const markIntervalMs = 20;
const retryMs = 500;

/** How far a lane has come, in memory and on disk. Writes follow one another; the newest mark wins. */
export class LaneProgress {
  readonly #inbox: LaneInbox;
  readonly #clock: Clock;
  readonly #onFault: (fault: Fault) => void;
  #mark: Settled;
  #written: Settled;
  #writing: Promise<void> = Promise.resolve();
  #scheduled = false;
  #lastWriteMs = Number.NEGATIVE_INFINITY;

  constructor(inbox: LaneInbox, clock: Clock, onFault: (fault: Fault) => void) {
    this.#inbox = inbox;
    this.#clock = clock;
    this.#onFault = onFault;
    this.#mark = inbox.settled;
    this.#written = inbox.settled;
  }

  get mark(): Settled {
    return this.#mark;
  }

  /** What is noted on disk about the message behind the mark; nothing about one that the mark has reached in memory alone. */
  get left(): LaneInbox["left"] {
    return this.#mark === this.#inbox.settled ? this.#inbox.left : { calling: false, tries: 0 };
  }

  /** Messages of this entry that are settled. */
  settledIn(entry: StoredEntry): number {
    const { n, index } = this.#mark;
    if (entry.n === n) return index;
    return entry.n < n ? entry.messages.length : 0;
  }

  /** Everything through `mark` is settled; written soon, together with what follows. */
  advance(mark: Settled): void {
    this.#mark = mark;
    if (this.#scheduled) return;
    this.#scheduled = true;
    const sinceMs = this.#clock.monotonic() - this.#lastWriteMs;
    this.#clock.after(Math.max(0, markIntervalMs - sinceMs), () => {
      this.#scheduled = false;
      void this.#background();
    });
  }

  /** Moves the mark without a write of its own: the next `write` carries it. */
  note(mark: Settled): void {
    this.#mark = mark;
  }

  /** Writes the mark now, with what belongs to it; resolves when it is durable. Faults of the database. */
  write(options: { calling?: boolean; tries?: number; also?: readonly Statement[]; to?: Settled } = {}): Promise<void> {
    const write = async () => {
      const to = options.to ?? this.#mark;
      await this.#inbox.settle(to, options);
      if (options.to !== undefined) this.#mark = options.to; // else it may have moved on meanwhile
      this.#written = to;
      this.#lastWriteMs = this.#clock.monotonic();
    };
    const done = this.#writing.then(write, write);
    this.#writing = done.catch(() => undefined); // the caller has it
    return done;
  }

  /** The lane has nothing to do now: what no write is on its way for is written. */
  async rest(): Promise<void> {
    if (!this.#scheduled) await this.flush();
  }

  /** Resolves when the mark is on disk. */
  async flush(): Promise<void> {
    if (this.#mark !== this.#written || this.#inbox.left.calling) await this.write();
    else await this.#writing;
  }

  async #background(): Promise<void> {
    if (this.#mark === this.#written) return;
    try {
      await this.write();
    } catch (error) {
      // A full disk or a locked file passes; what is settled stays in memory and is at worst done again.
      this.#onFault(asFault(error, "database"));
      this.#clock.after(retryMs, () => void this.#background());
    }
  }
}
