import type { Bytes } from "#lib/bytes";
import type { AeadKey, CryptoSuite } from "#lib/crypto";
import { rekey } from "#lib/noise";

/** The key of one direction in one epoch (counter div 65,536), and the way to the next one (Noise §4.2 REKEY). */
export class EpochKey {
  readonly epoch: number;
  readonly aead: AeadKey;
  readonly #suite: CryptoSuite;
  readonly #key: Bytes;
  #next: Promise<EpochKey> | undefined;

  private constructor(suite: CryptoSuite, epoch: number, key: Bytes, aead: AeadKey) {
    this.#suite = suite;
    this.epoch = epoch;
    this.#key = key;
    this.aead = aead;
  }

  /** Of 32 bytes, which are wiped when the next key has been made. */
  static async create(suite: CryptoSuite, key: Bytes, epoch = 0): Promise<EpochKey> {
    return new EpochKey(suite, epoch, key, await suite.aeadKey(key));
  }

  /** The key after this one, made once. It says nothing about whether that epoch has begun. */
  next(): Promise<EpochKey> {
    this.#next ??= this.#derive();
    return this.#next;
  }

  async #derive(): Promise<EpochKey> {
    const key = await rekey(this.#suite, this.#key);
    this.#key.fill(0);
    return EpochKey.create(this.#suite, key, this.epoch + 1);
  }
}
