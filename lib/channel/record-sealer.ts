import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { recordPlaintextBytesMax, recordsPerEpoch } from "#lib/limits";
import { noiseNonce } from "#lib/noise";
import { EpochKey } from "./epoch-key.ts";
import { encodeRecord, recordAdditionalData, recordBytesMax, recordCounterMax } from "./record.ts";

export interface RecordSealerEvents {
  /** The next record in counter order; its bytes are used again once this returns. What it throws ends the channel. */
  record(record: Bytes): void;
  /** Sealing is over: no record comes any more. Once. */
  failed(fault: Fault): void;
}

interface Slot {
  readonly counter: number;
  /** Ciphertext ‖ tag, once it is there. */
  sealed: Bytes | undefined;
}

const scratchFromBytes = 16 * 1_024;

/**
 * The sending direction of a channel (PROTOCOL §7): several plaintexts are sealed at a time, records come out strictly
 * in counter order. A counter is taken on the way in and never given back; any failure ends the direction.
 */
export class RecordSealer {
  readonly #events: RecordSealerEvents;
  readonly #recordsPerEpoch: number;
  readonly #roomBytes: number;
  readonly #slots: Slot[] = [];
  #key: EpochKey;
  /** Set while the key of the next epoch is being made. */
  #keyComing: Promise<EpochKey> | undefined;
  #counter = 0;
  #ended = false;
  /** Where records are put together while there is much to send: fresh memory costs more than sealing. */
  #scratch: Bytes | undefined;

  private constructor(key: EpochKey, epochRecords: number, roomBytes: number, events: RecordSealerEvents) {
    this.#key = key;
    this.#roomBytes = roomBytes;
    this.#recordsPerEpoch = epochRecords;
    this.#events = events;
  }

  /**
   * With the 32-byte key of this direction, wiped in time. `epochRecords` is 65,536 but in tests. Records have `roomBytes` in front
   * of them that their taker may write.
   */
  static async create(
    suite: CryptoSuite,
    key: Bytes,
    events: RecordSealerEvents,
    epochRecords = recordsPerEpoch,
    roomBytes = 0,
  ): Promise<RecordSealer> {
    return new RecordSealer(await EpochKey.create(suite, key), epochRecords, roomBytes, events);
  }

  /** Records in the pipeline. */
  get inFlight(): number {
    return this.#slots.length;
  }

  /** Puts 1 … 65,519 bytes into the pipeline; they may change once the call returned. No effect after the end. */
  seal(plaintext: Bytes): void {
    if (plaintext.length === 0 || plaintext.length > recordPlaintextBytesMax)
      throw new RangeError("a record holds 1 to 65,519 bytes");
    if (this.#ended) return;
    const counter = this.#counter++;
    if (counter >= recordCounterMax) {
      this.#fail(new Fault("closed", "the channel's counter is spent"));
      return;
    }
    const slot: Slot = { counter, sealed: undefined };
    this.#slots.push(slot);
    this.#sealInto(slot, counter, plaintext).catch((error: unknown) =>
      this.#fail(asFault(error, "crypto", "a record could not be sealed")),
    );
  }

  /** Gives back memory that is only of use while there is much to send; true when there was some. */
  rest(): boolean {
    const held = this.#scratch !== undefined;
    if (this.#slots.length === 0) this.#scratch = undefined;
    return held;
  }

  /** Ends without an event: what is in the pipeline is dropped. */
  end(): void {
    this.#ended = true;
    this.#slots.length = 0;
  }

  async #sealInto(slot: Slot, counter: number, plaintext: Bytes): Promise<void> {
    const epoch = Math.floor(counter / this.#recordsPerEpoch);
    const nonce = noiseNonce(counter);
    if (epoch === this.#key.epoch && this.#keyComing === undefined) {
      slot.sealed = await this.#key.aead.seal(nonce, recordAdditionalData, plaintext);
    } else {
      const own = plaintext.slice(); // the caller's may change while the key is being made
      const key = await this.#keyOf(epoch);
      slot.sealed = await key.aead.seal(nonce, recordAdditionalData, own);
    }
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
      const first = this.#slots[0];
      if (first?.sealed === undefined) return;
      this.#slots.shift();
      try {
        this.#events.record(this.#encode(first.counter, first.sealed));
      } catch (error) {
        this.#fail(asFault(error, "wire_lost"));
      }
    }
  }

  #encode(counter: number, sealed: Bytes): Bytes {
    if (sealed.length < scratchFromBytes) return encodeRecord(counter, sealed, undefined, this.#roomBytes);
    this.#scratch ??= new Uint8Array(this.#roomBytes + recordBytesMax);
    const record = encodeRecord(counter, sealed, this.#scratch, this.#roomBytes);
    sealed.buffer.transfer(0); // frees it now and not when it is collected: the next one finds memory that is warm
    return record;
  }

  #fail(fault: Fault): void {
    if (this.#ended) return;
    this.end();
    this.#events.failed(fault);
  }
}
