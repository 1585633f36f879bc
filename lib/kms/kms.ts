import type { Bytes } from "#lib/bytes";

/** What a key is for: Ed25519 signatures, or X25519 agreements (and so unsealing). */
export type KeyKind = "sign" | "agree";

/** Why a key is taken out, for the audit: who asked, about what. No secret. */
export interface KmsUse {
  /** Such as `opening`. */
  readonly purpose: string;
  /** Such as an agent's id. */
  readonly subject: string;
  /** Such as the gateway and the address that asked. */
  readonly detail?: Readonly<Record<string, string | number | boolean | null>>;
}

/** One act on a key, told before it is done. */
export interface KmsEvent {
  readonly operation: "create" | "agree" | "sign" | "unseal" | "destroy" | "rotate";
  /** Of the key; of `rotate` the id of the new key-encryption key. */
  readonly name: string;
  /** Of `agree`. */
  readonly use?: KmsUse;
}

/**
 * Is awaited before the key is used; when it rejects, the key is not used and the caller gets Fault `kms`. So no use
 * goes without its record.
 */
export type KmsAudit = (event: KmsEvent) => Promise<void>;

/**
 * Key management (DESIGN §6). Private keys never leave it and are taken out anew at every use: nothing is cached but data keys,
 * for a bounded time. Names: 1 … 200 of `[A-Za-z0-9._/-]`.
 * Faults of all: `kms`, `not_found` (no such key, or destroyed: detail `reason`), `conflict` (of the other kind), `closed`.
 */
export interface Kms extends AsyncDisposable {
  /**
   * The 32-byte public key of this name, made when there is none yet: a retry finds the same. A destroyed name is never made
   * again. Fault `conflict` when the name has a key of the other kind.
   */
  ensureKey(name: string, kind: KeyKind): Promise<{ readonly publicKey: Bytes }>;
  /** The 64-byte Ed25519 signature of `message`. */
  sign(name: string, message: Uint8Array): Promise<Bytes>;
  /** The 32-byte X25519 secret with a peer's public key; one audited use. Fault `crypto` when it would be all zero. */
  agree(name: string, peerPublicKey: Uint8Array, use: KmsUse): Promise<Bytes>;
  /** What was sealed to this key, whatever `kid` it names. Faults of `makeUnseal`. */
  unseal(name: string, jwe: string): Promise<Bytes>;
  /** Removes the private key for good; again does nothing. Fault `not_found` when there never was one. */
  destroy(name: string): Promise<void>;
  /**
   * `plaintext` encrypted for a place such as `licence.key/<id>`: 37 bytes longer. Opens under the same context only, so that a
   * value can't be moved to another row.
   */
  sealData(context: string, plaintext: Uint8Array): Promise<Bytes>;
  /** What `sealData` was given for this context. Fault `crypto` when it was changed or is of another context. */
  openData(context: string, sealed: Uint8Array): Promise<Bytes>;
}
