import { type Bytes, concat, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { CipherState } from "./cipher-state.ts";

const empty = new Uint8Array(0);

/** ck, h and the cipher of a handshake under way (Noise §5.2), with HASHLEN 32. One call at a time. */
export class SymmetricState {
  readonly #suite: CryptoSuite;
  #chainingKey: Bytes;
  #hash: Bytes;
  #cipher: CipherState | undefined;

  /** InitializeSymmetric: a protocol name of at most 32 bytes is h and ck, filled up with zeros. */
  constructor(suite: CryptoSuite, protocolName: string) {
    const name = utf8(protocolName);
    if (name.length > 32) throw new RangeError("a longer protocol name would have to be hashed");
    this.#suite = suite;
    this.#hash = new Uint8Array(32);
    this.#hash.set(name);
    this.#chainingKey = Uint8Array.from(this.#hash);
  }

  /** MixHash: h = SHA-256(h ‖ data). */
  async mixHash(data: Uint8Array): Promise<void> {
    this.#hash = await this.#suite.sha256(concat(this.#hash, data));
  }

  /** MixKey: ck and the cipher's key from HKDF(ck, input, 2); the counter starts again at 0. */
  async mixKey(inputKeyMaterial: Uint8Array): Promise<void> {
    const [chainingKey, key] = await this.#hkdf2(inputKeyMaterial);
    this.#chainingKey = chainingKey;
    this.#cipher = await CipherState.initialize(this.#suite, key);
  }

  /** EncryptAndHash: plaintext itself as long as there is no key, then ciphertext ‖ 16-byte tag. */
  async encryptAndHash(plaintext: Bytes): Promise<Bytes> {
    const ciphertext = this.#cipher ? await this.#cipher.encryptWithAd(this.#hash, plaintext) : plaintext;
    await this.mixHash(ciphertext);
    return ciphertext;
  }

  /** DecryptAndHash. Fault `crypto` when the tag does not fit. */
  async decryptAndHash(ciphertext: Bytes): Promise<Bytes> {
    const plaintext = this.#cipher ? await this.#cipher.decryptWithAd(this.#hash, ciphertext) : ciphertext;
    await this.mixHash(ciphertext);
    return plaintext;
  }

  /** GetHandshakeHash: 32 bytes; names the handshake once it is finished (Noise §11.2). */
  handshakeHash(): Bytes {
    return Uint8Array.from(this.#hash);
  }

  /** Split: two 32-byte keys, the first for initiator → responder. */
  split(): Promise<[Bytes, Bytes]> {
    return this.#hkdf2(empty);
  }

  /** HKDF with two outputs (Noise §4.3), which is RFC 5869 with salt = ck and no info. */
  async #hkdf2(inputKeyMaterial: Uint8Array): Promise<[Bytes, Bytes]> {
    const both = await this.#suite.hkdfSha256(inputKeyMaterial, this.#chainingKey, empty, 64);
    return [both.slice(0, 32), both.slice(32)];
  }
}
