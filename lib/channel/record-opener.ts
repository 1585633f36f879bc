import type { Bytes } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { openingBytesMax, recordsPerEpoch } from "#lib/limits";
import { noiseNonce } from "#lib/noise";
import { EpochKey } from "./epoch-key.ts";
import { decodeRecord, recordAdditionalData } from "./record.ts";
import { ReorderWindow } from "./reorder-window.ts";

export interface RecordOpenerEvents {
  /** The next plaintext in counter order. A Fault thrown here ends the direction. */
  plaintext(plaintext: Bytes): void;
  /** Nothing comes any more. Once. */
  failed(fault: Fault): void;
}

interface Arrival {
  readonly counter: number;
  readonly sealed: Bytes;
  key: EpochKey | undefined;
  plaintext: Bytes | undefined;
  /** Why it does not open; told when those before it have left. */
  fault: Fault | undefined;
}

/** Records whose tags are checked at a time: enough to keep Web Crypto's threads busy. */
const openingMax = 16;
/** What a waiting record costs beside its bytes. */
const arrivalBytes = 256;

/**
 * The receiving direction of a channel (PROTOCOL §7): several records are opened at a time; they leave in the order in
 * which they came, and there the reorder window decides about order and replay. Anything wrong ends the direction.
 */
export class RecordOpener {
  readonly #events: RecordOpenerEvents;
  readonly #window: ReorderWindow;
  readonly #epochRecords: number;
  /** In order of arrival; the first `#started` of them are being opened or are open. */
  readonly #arrivals: Arrival[] = [];
  #started = 0;
  #bytes = 0;
  #key: EpochKey;
  /** The key of the epoch before, while records of it may still come. */
  #previous: EpochKey | undefined;
  #ended = false;
  #drained: (() => void) | undefined;

  private constructor(key: EpochKey, clock: Clock, events: RecordOpenerEvents, epochRecords: number) {
    this.#key = key;
    this.#events = events;
    this.#epochRecords = epochRecords;
    this.#window = new ReorderWindow(clock, {
      next: (plaintext) => this.#events.plaintext(plaintext),
      gap: (fault) => this.#fail(fault),
    });
  }

  /** With the 32-byte key of this direction, wiped in time. `epochRecords` is 65,536 but in tests. */
  static async create(
    suite: CryptoSuite,
    key: Bytes,
    clock: Clock,
    events: RecordOpenerEvents,
    epochRecords = recordsPerEpoch,
  ): Promise<RecordOpener> {
    return new RecordOpener(await EpochKey.create(suite, key), clock, events, epochRecords);
  }

  /** Takes a message of kind 0x02, which must not change any more. No effect once it has ended. */
  open(record: Bytes): void {
    if (this.#ended) return;
    this.#guard(() => {
      const { counter, sealed } = decodeRecord(record);
      this.#bytes += sealed.length + arrivalBytes;
      if (this.#bytes > openingBytesMax) throw new Fault("limited", "records come faster than they are opened");
      this.#arrivals.push({ counter, sealed, key: undefined, plaintext: undefined, fault: undefined });
      this.#startMore();
    });
  }

  /** Calls `done` once all that has come has left the pipeline; at once when there is nothing. Not after an end. */
  drain(done: () => void): void {
    this.#drained = done;
    this.#sayDrained();
  }

  /** Ends without an event. */
  end(): void {
    this.#ended = true;
    this.#arrivals.length = 0;
    this.#window.stop();
  }

  #startMore(): void {
    while (this.#started < Math.min(this.#arrivals.length, openingMax)) {
      const arrival = this.#arrivals[this.#started];
      if (arrival === undefined || !this.#start(arrival)) return;
      this.#started++;
    }
  }

  /** Begins to open; false when it has to wait until those before it have left. */
  #start(arrival: Arrival): boolean {
    const epoch = Math.floor(arrival.counter / this.#epochRecords);
    const key = [this.#key, this.#previous].find((known) => known?.epoch === epoch);
    if (key === undefined && epoch !== this.#key.epoch + 1) {
      // Those before it may begin its epoch yet; and they are delivered whatever follows them.
      if (this.#started > 0) return false;
      throw new Fault("record_order", "a record of an epoch that is over, or too far ahead");
    }
    const opening = key === undefined ? this.#openWithNext(arrival, this.#key) : this.#openWith(arrival, key);
    opening.catch((error: unknown) => {
      // Those before it may still be opening: they are delivered first.
      arrival.fault = asFault(error, "crypto", "a record could not be opened");
      if (!this.#ended) this.#guard(() => this.#leave());
    });
    return true;
  }

  async #openWithNext(arrival: Arrival, before: EpochKey): Promise<void> {
    await this.#openWith(arrival, await before.next());
  }

  async #openWith(arrival: Arrival, key: EpochKey): Promise<void> {
    arrival.plaintext = await key.aead.open(noiseNonce(arrival.counter), recordAdditionalData, arrival.sealed);
    arrival.key = key;
    if (!this.#ended) this.#guard(() => this.#leave());
  }

  #leave(): void {
    for (let first = this.#arrivals[0]; first?.plaintext && first.key && !this.#ended; first = this.#arrivals[0]) {
      this.#arrivals.shift();
      this.#started--;
      this.#bytes -= first.sealed.length + arrivalBytes;
      this.#commit(first.key);
      this.#window.take(first.counter, first.plaintext);
      if (this.#window.expected >= this.#key.epoch * this.#epochRecords) this.#previous = undefined;
    }
    if (this.#ended) return;
    const fault = this.#arrivals[0]?.fault;
    if (fault !== undefined) throw fault;
    this.#startMore();
    this.#sayDrained();
  }

  #sayDrained(): void {
    if (this.#ended || this.#arrivals.length > 0) return;
    const done = this.#drained;
    this.#drained = undefined;
    done?.();
  }

  /** A tag was verified under `key`: if it is the next epoch's, that epoch has begun. */
  #commit(key: EpochKey): void {
    if (key.epoch !== this.#key.epoch + 1) return;
    this.#previous = this.#key;
    this.#key = key;
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Fault)) this.#fail(new Fault("internal", "taking a record failed", { cause: error }));
      else this.#fail(error);
    }
  }

  #fail(fault: Fault): void {
    if (this.#ended) return;
    this.end();
    this.#events.failed(fault);
  }
}
