import { type Bytes, concat, encodeCbor, hex } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { AeadKey, CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { dataKeyHeldMs, dataKeyLifeMs, dataKeySealsMax, dataKeysHeldMax } from "#lib/limits";
import type { KeyVault } from "./key-vault.ts";

const version = 1;
const idBytes = 8;
const nonceBytes = 12;
const headBytes = 1 + idBytes + nonceBytes;
const noPublicKey = new Uint8Array(0);

interface SealingKey {
  readonly id: Bytes;
  readonly aead: AeadKey;
  readonly until: number;
  seals: number;
}

/**
 * Encryption of values, without taking a key out of the database for each. A process seals under a key that it made itself, for
 * at most 7 days or 2^30 values, and opens with keys that it holds for an hour (256 of them at most): they guard rows that this
 * process reads anyway, so holding them gives nothing away that it does not have. What "nothing is cached" protects,
 * the keys of agents and of the authority, is never in here.
 *
 * Sealed form: 0x01 ‖ 8-byte key id ‖ 12-byte random nonce ‖ AES-256-GCM ciphertext ‖ 16-byte tag; additional data: key id and context.
 */
export class DataKeys {
  readonly #suite: CryptoSuite;
  readonly #random: Random;
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #vault: KeyVault;
  readonly #held = new Map<string, { readonly aead: Promise<AeadKey>; readonly until: number }>();
  #sealing: Promise<SealingKey> | undefined;

  constructor(suite: CryptoSuite, random: Random, clock: Pick<Clock, "now" | "monotonic">, vault: KeyVault) {
    this.#suite = suite;
    this.#random = random;
    this.#clock = clock;
    this.#vault = vault;
  }

  async seal(context: string, plaintext: Uint8Array): Promise<Bytes> {
    const own = Uint8Array.from(plaintext);
    const { id, aead } = await this.#sealingKey();
    const nonce = this.#random(nonceBytes);
    return concat(Uint8Array.of(version), id, nonce, await aead.seal(nonce, additionalData(id, context), own));
  }

  async open(context: string, sealed: Uint8Array): Promise<Bytes> {
    if (sealed[0] !== version || sealed.length < headBytes + 16) throw new Fault("crypto", "not a sealed value");
    const own = Uint8Array.from(sealed);
    const id = own.slice(1, 1 + idBytes);
    const aead = await this.#keyOf(hex(id));
    return await aead.open(own.slice(1 + idBytes, headBytes), additionalData(id, context), own.slice(headBytes));
  }

  /** Seals under a new key from now on. */
  renew(): void {
    this.#sealing = undefined;
  }

  /** Forgets all keys. */
  forget(): void {
    this.renew();
    this.#held.clear();
  }

  async #sealingKey(): Promise<SealingKey> {
    for (;;) {
      this.#sealing ??= this.#make();
      const pending = this.#sealing;
      const key = await this.#settled(pending);
      if (this.#clock.monotonic() < key.until && key.seals < dataKeySealsMax) {
        key.seals += 1;
        return key;
      }
      if (this.#sealing === pending) this.#sealing = undefined;
    }
  }

  /** A key that could not be made is not kept: the next caller tries again. */
  async #settled(pending: Promise<SealingKey>): Promise<SealingKey> {
    try {
      return await pending;
    } catch (error) {
      if (this.#sealing === pending) this.#sealing = undefined;
      throw error;
    }
  }

  async #make(): Promise<SealingKey> {
    const id = this.#random(idBytes);
    const secret = this.#random(32);
    const aead = await this.#suite.aeadKey(secret);
    await this.#vault.store(nameOf(hex(id)), "data", noPublicKey, secret, this.#clock.now());
    secret.fill(0);
    if ((await this.#vault.find(nameOf(hex(id)))) === undefined) throw new Fault("kms", "a data key was not stored");
    return { id, aead, until: this.#clock.monotonic() + dataKeyLifeMs, seals: 0 };
  }

  #keyOf(id: string): Promise<AeadKey> {
    const now = this.#clock.monotonic();
    const held = this.#held.get(id);
    if (held !== undefined && now < held.until) return held.aead;
    const aead = this.#load(id);
    this.#held.delete(id);
    this.#held.set(id, { aead, until: now + dataKeyHeldMs });
    aead.catch(() => this.#held.delete(id));
    const [oldest] = this.#held.keys();
    if (this.#held.size > dataKeysHeldMax && oldest !== undefined) this.#held.delete(oldest);
    return aead;
  }

  async #load(id: string): Promise<AeadKey> {
    const row = await this.#vault.find(nameOf(id));
    const secret = row === undefined ? undefined : await this.#vault.secretOf(row);
    if (secret === undefined) throw new Fault("kms", "sealed under a data key that is not here", { detail: { id } });
    try {
      return await this.#suite.aeadKey(secret);
    } finally {
      secret.fill(0);
    }
  }
}

/** No name that a caller may choose begins with `$`. */
function nameOf(id: string): string {
  return `$data/${id}`;
}

function additionalData(id: Uint8Array, context: string): Bytes {
  return encodeCbor(["mercury/1 sealed value", id, context]);
}
