import type { Bytes } from "#lib/bytes";
import type { AeadKey, CryptoSuite } from "#lib/crypto";

/** 32 zero bytes: the plaintext of REKEY (Noise §4.2). */
const rekeyPlaintext = new Uint8Array(32);
/** n = 2^64-1, which Noise reserves for REKEY (§4.2, §5.1), behind 4 zero bytes. */
const rekeyNonce = new Uint8Array(12).fill(0xff, 4);
const noAdditionalData = new Uint8Array(0);

/**
 * The 12-byte nonce of AESGCM: 4 zero bytes ‖ `counter` as 8 bytes, big-endian (Noise §12.4). RangeError outside
 * 0 … 2^53-1, so that the nonce of REKEY can never come out.
 */
export function noiseNonce(counter: number): Bytes {
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError("a counter is 0 to 2^53-1");
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(4, Math.floor(counter / 0x1_0000_0000));
  view.setUint32(8, counter >>> 0);
  return nonce;
}

/** The 32-byte key that follows the 32-byte `key`: the first 32 bytes of ENCRYPT(key, 2^64-1, "", zeros) (Noise §4.2). */
export async function rekey(suite: CryptoSuite, key: Uint8Array): Promise<Bytes> {
  const aead = await suite.aeadKey(key);
  return (await aead.seal(rekeyNonce, noAdditionalData, rekeyPlaintext)).slice(0, 32);
}

/**
 * A key and its counter (Noise §5.1): the transport of a peer that sends its messages in order over something that
 * keeps order. One call at a time. Records of a tunnel name their counter and are in flight together: `lib/channel`.
 */
export class CipherState {
  readonly #suite: CryptoSuite;
  #key: Bytes;
  #aead: AeadKey;
  #counter = 0;

  private constructor(suite: CryptoSuite, key: Bytes, aead: AeadKey) {
    this.#suite = suite;
    this.#key = key;
    this.#aead = aead;
  }

  /** InitializeKey: `key` is 32 bytes, the counter 0. */
  static async initialize(suite: CryptoSuite, key: Uint8Array): Promise<CipherState> {
    return new CipherState(suite, Uint8Array.from(key), await suite.aeadKey(key));
  }

  /** EncryptWithAd: ciphertext ‖ 16-byte tag. RangeError once the counter is spent (2^53). */
  async encryptWithAd(additionalData: Uint8Array, plaintext: Uint8Array): Promise<Bytes> {
    const nonce = noiseNonce(this.#counter);
    this.#counter++; // before it is used: a nonce is never given back
    return this.#aead.seal(nonce, additionalData, plaintext);
  }

  /** DecryptWithAd: the plaintext. Fault `crypto` when the tag does not fit; the counter then stays where it was. */
  async decryptWithAd(additionalData: Uint8Array, ciphertext: Uint8Array): Promise<Bytes> {
    const plaintext = await this.#aead.open(noiseNonce(this.#counter), additionalData, ciphertext);
    this.#counter++;
    return plaintext;
  }

  /** Rekey: another key, the same counter (Noise §5.1, §11.3). */
  async rekey(): Promise<void> {
    this.#key = await rekey(this.#suite, this.#key);
    this.#aead = await this.#suite.aeadKey(this.#key);
  }
}
