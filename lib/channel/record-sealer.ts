import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { recordPlaintextBytesMax, recordsPerEpoch } from "#lib/limits";
import { noiseNonce } from "#lib/noise";
import { EpochKey } from "./epoch-key.ts";
import { encodeRecord, recordAdditionalData, recordCounterMax } from "./record.ts";

export interface RecordSealerEvents {
  /** The next record in counter order. What this throws is taken for a lost channel. */
  record(record: Bytes): void;
  /** Sealing is over: no record comes any more. Once. */
  failed(fault: Fault): void;
}

interface Slot {
  record: Bytes | undefined;
}

/**
 * The sending direction of a channel (PROTOCOL §7): several plaintexts are sealed at a time, records come out strictly
 * in counter order. A counter is taken on the way in and never given back; any failure ends the direction.
 */
export class RecordSealer {
  readonly #events: RecordSealerEvents;
  readonly #recordsPerEpoch: number;
  readonly #slots: Slot[] = [];
  #key: EpochKey;
  /** Set while the key of the next epoch is being made. */
  #keyComing: Promise<EpochKey> | undefined;
  #counter = 0;
  #ended = false;

  private constructor(key: EpochKey, epochRecords: number, events: RecordSealerEvents) {
    this.#key = key;
    this.#recordsPerEpoch = epochRecords;
    this.#events = events;
  }

  /** With the 32-byte key of this direction, wiped in time. `epochRecords` is 65,536 but in tests. */
  static async create(
    suite: CryptoSuite,
    key: Bytes,
    events: RecordSealerEvents,
    epochRecords = recordsPerEpoch,
  ): Promise<RecordSealer> {
    return new RecordSealer(await EpochKey.create(suite, key), epochRecords, events);
  }

  /** Records in the pipeline. */
  get inFlight(): number {
    return this.#slots.length;
  }

  /** Puts 1 … 65,519 bytes, which must not change any more, into the pipeline. No effect once it has ended. */
  seal(plaintext: Bytes): void {
    if (plaintext.length === 0 || plaintext.length > recordPlaintextBytesMax)
      throw new RangeError("a record holds 1 to 65,519 bytes");
    if (this.#ended) return;
    const counter = this.#counter++;
    if (counter >= recordCounterMax) {
      this.#fail(new Fault("closed", "the channel's counter is spent"));
      return;
    }
    const slot: Slot = { record: undefined };
    this.#slots.push(slot);
    this.#sealInto(slot, counter, plaintext).catch((error: unknown) =>
      this.#fail(asFault(error, "crypto", "a record could not be sealed")),
    );
  }

  /** Ends without an event: what is in the pipeline is dropped. */
  end(): void {
    this.#ended = true;
    this.#slots.length = 0;
  }

  async #sealInto(slot: Slot, counter: number, plaintext: Bytes): Promise<void> {
    const epoch = Math.floor(counter / this.#recordsPerEpoch);
    const key = epoch === this.#key.epoch && !this.#keyComing ? this.#key : await this.#keyOf(epoch);
    const sealed = await key.aead.seal(noiseNonce(counter), recordAdditionalData, plaintext);
    slot.record = encodeRecord(counter, sealed);
    this.#flush();
  }

  /** Counters ascend, so an epoch is asked for when the one before has been. */
  async #keyOf(epoch: number): Promise<EpochKey> {
    if (this.#keyComing === undefined) {
      const before = this.#key;
      this.#keyComing = before.next().then((key) => {
        this.#key = key;
        this.#keyComing = undefined;
        return key;
      });
    }
    const key = await this.#keyComing;
    return key.epoch === epoch ? key : this.#keyOf(epoch);
  }

  #flush(): void {
    while (!this.#ended) {
      const record = this.#slots[0]?.record;
      if (record === undefined) return;
      this.#slots.shift();
      try {
        this.#events.record(record);
      } catch (error) {
        this.#fail(asFault(error, "wire_lost"));
      }
    }
  }

  #fail(fault: Fault): void {
    if (this.#ended) return;
    this.end();
    this.#events.failed(fault);
  }
}
