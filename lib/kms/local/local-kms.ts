import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { AgreementKey, CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { keyNameLengthMax } from "#lib/limits";
import { makeUnseal } from "#lib/statement";
import type { KeyKind, Kms, KmsAudit, KmsEvent, KmsUse } from "../kms.ts";
import type { DataKeys } from "./data-keys.ts";
import type { KeyRow } from "./key-repo.ts";
import type { KeyVault } from "./key-vault.ts";

/** What a local KMS works with. */
export interface LocalKmsParts {
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
  readonly audit: KmsAudit;
  readonly vault: KeyVault;
  readonly dataKeys: DataKeys;
  /** Removes the private key of a name. */
  readonly destroyKey: (name: string, nowMs: number) => Promise<void>;
}

const nameForm = new RegExp(`^[A-Za-z0-9._/-]{1,${keyNameLengthMax}}$`);

/** Keys in a database file, wrapped under a key-encryption key. */
export class LocalKms implements Kms {
  readonly #parts: LocalKmsParts;
  #closed = false;

  constructor(parts: LocalKmsParts) {
    this.#parts = parts;
  }

  async ensureKey(name: string, kind: KeyKind): Promise<{ readonly publicKey: Bytes }> {
    const found = await this.#row(name);
    if (found !== undefined) return { publicKey: usable(found, kind).public };
    await this.#told({ operation: "create", name });
    const { suite, random, clock, vault } = this.#parts;
    const secret = random(32);
    const { publicKey } = await (kind === "sign" ? suite.signingKey(secret) : suite.agreementKey(secret));
    await vault.store(name, kind, publicKey, secret, clock.now());
    secret.fill(0);
    const stored = await this.#row(name); // ours, or the one of whoever was faster
    if (stored === undefined) throw new Fault("kms", "a key was not stored: try again");
    return { publicKey: usable(stored, kind).public };
  }

  async sign(name: string, message: Uint8Array): Promise<Bytes> {
    const own = Uint8Array.from(message);
    return await this.#withSecret(name, "sign", { operation: "sign", name }, async (secret) => {
      const key = await this.#parts.suite.signingKey(secret);
      return await key.sign(own);
    });
  }

  async agree(name: string, peerPublicKey: Uint8Array, use: KmsUse): Promise<Bytes> {
    const peer = Uint8Array.from(peerPublicKey);
    return await this.#agreeing(name, { operation: "agree", name, use }, (key) => key.agree(peer));
  }

  async unseal(name: string, jwe: string): Promise<Bytes> {
    const { suite } = this.#parts;
    return await this.#agreeing(name, { operation: "unseal", name }, (key) => makeUnseal(suite, () => key)(jwe));
  }

  async destroy(name: string): Promise<void> {
    const row = await this.#row(name);
    if (row === undefined) throw missing("unknown");
    if (row.wrapped === null) return;
    await this.#told({ operation: "destroy", name });
    await this.#parts.destroyKey(name, this.#parts.clock.now());
  }

  async sealData(context: string, plaintext: Uint8Array): Promise<Bytes> {
    this.#demandOpen();
    return await this.#parts.dataKeys.seal(context, plaintext);
  }

  async openData(context: string, sealed: Uint8Array): Promise<Bytes> {
    this.#demandOpen();
    return await this.#parts.dataKeys.open(context, sealed);
  }

  /** Seals under a new data key from now on; what is sealed already still opens. */
  renewDataKey(): void {
    this.#parts.dataKeys.renew();
  }

  /**
   * Puts every key under another key-encryption key of 32 bytes, while all of them stay in use. Killed half-way, the database
   * opens with either; the former one is refused once this has resolved. Started again with the new one (or called again), it
   * goes on. A copy of the file from before still opens with the former key. Fault `conflict` during another rotation.
   */
  async rotateKeyEncryptionKey(keyEncryptionKey: Uint8Array): Promise<void> {
    this.#demandOpen();
    await this.#told({ operation: "rotate", name: "key-encryption-key" });
    await this.#parts.vault.rotate(keyEncryptionKey);
  }

  /** Forgets every key; what was begun ends with Fault `closed` or as it would have. The database stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#parts.dataKeys.forget();
    this.#parts.vault.lock();
  }

  #agreeing(name: string, event: KmsEvent, act: (key: AgreementKey) => Promise<Bytes>): Promise<Bytes> {
    return this.#withSecret(
      name,
      "agree",
      event,
      async (secret) => await act(await this.#parts.suite.agreementKey(secret)),
    );
  }

  /** Takes the secret out for one act, which was told before, and overwrites it. */
  async #withSecret(
    name: string,
    kind: KeyKind,
    event: KmsEvent,
    act: (secret: Bytes) => Promise<Bytes>,
  ): Promise<Bytes> {
    const row = await this.#row(name);
    if (row === undefined) throw missing("unknown");
    usable(row, kind);
    await this.#told(event);
    const secret = await this.#parts.vault.secretOf(row);
    if (secret === undefined) throw missing("destroyed");
    try {
      return await act(secret);
    } finally {
      secret.fill(0);
    }
  }

  async #told(event: KmsEvent): Promise<void> {
    try {
      await this.#parts.audit(event);
    } catch (error) {
      throw new Fault("kms", "the use of a key could not be recorded", { cause: asFault(error, "internal") });
    }
    this.#demandOpen();
  }

  async #row(name: string): Promise<KeyRow | undefined> {
    this.#demandOpen();
    if (!nameForm.test(name)) throw new TypeError("not the name of a key");
    const row = await this.#parts.vault.find(name);
    this.#demandOpen();
    return row;
  }

  #demandOpen(): void {
    if (this.#closed) throw new Fault("closed", "the key management is closed");
  }
}

/** The row if its key exists and is of this kind. */
function usable(row: KeyRow, kind: KeyKind): KeyRow {
  if (row.wrapped === null) throw missing("destroyed");
  if (row.kind !== kind) throw new Fault("conflict", "a key of the other kind", { detail: { kind: row.kind } });
  return row;
}

function missing(reason: "unknown" | "destroyed"): Fault {
  return new Fault("not_found", `the key is ${reason}`, { detail: { reason } });
}
