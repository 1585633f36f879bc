import type { Bytes } from "#lib/bytes";

/** An X25519 private key that can be used and not read (RFC 7748 §5, §6.1). */
export interface AgreementKey {
  /** 32 bytes: the u-coordinate. */
  readonly publicKey: Bytes;
  /**
   * The 32-byte shared secret with a peer's 32-byte public key. Fault `crypto` when that key is not 32 bytes
   * long or has low order, so that the secret would be all zero (RFC 7748 §6.1; Noise §9.1 lets us refuse).
   */
  agree(peerPublicKey: Uint8Array): Promise<Bytes>;
}

/** An Ed25519 private key that can be used and not read (RFC 8032 §5.1). */
export interface SigningKey {
  /** 32 bytes: the encoded point A. */
  readonly publicKey: Bytes;
  /** The 64-byte signature R ‖ S of `message`; the same message always gets the same signature (RFC 8032 §5.1.6). */
  sign(message: Uint8Array): Promise<Bytes>;
}

/** An AES-256-GCM key (NIST SP 800-38D) with 12-byte nonces and 16-byte tags, imported once. */
export interface AeadKey {
  /**
   * Ciphertext ‖ 16-byte tag. The nonce must never come twice under one key: nothing here checks that.
   * RangeError when the nonce is not 12 bytes. What is passed in may be changed as soon as the call returned.
   */
  seal(nonce: Uint8Array, additionalData: Uint8Array, plaintext: Uint8Array): Promise<Bytes>;
  /**
   * The plaintext of ciphertext ‖ 16-byte tag. Fault `crypto` when the tag does not fit or is not all there;
   * RangeError when the nonce is not 12 bytes.
   */
  open(nonce: Uint8Array, additionalData: Uint8Array, ciphertext: Uint8Array): Promise<Bytes>;
}

/**
 * The algorithms of this product from one source. Bytes that come from a peer and are wrong make a Fault `crypto`
 * (or `false`); bytes of a wrong length that only the caller can have chosen make a RangeError.
 */
export interface CryptoSuite {
  readonly name: "web" | "noble";
  /** The X25519 key of a 32-byte secret, any 32 bytes (RFC 7748 §5 clamps them). RangeError on another length. */
  agreementKey(secret: Uint8Array): Promise<AgreementKey>;
  /** The Ed25519 key of a 32-byte seed (RFC 8032 §5.1.5). RangeError on another length. */
  signingKey(seed: Uint8Array): Promise<SigningKey>;
  /**
   * Whether the 64-byte Ed25519 signature of `message` is by the holder of the 32-byte public key. False, never a
   * Fault, for keys and signatures of any other form. Strict, and the same on every suite: S below the group
   * order, A and R canonical and not of small order, equation without cofactor (RFC 8032 §5.1.7).
   */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean>;
  /** The AES-256-GCM key of 32 bytes. RangeError on another length. */
  aeadKey(key: Uint8Array): Promise<AeadKey>;
  /** 32 bytes: SHA-256 (FIPS 180-4 §6.2). */
  sha256(bytes: Uint8Array): Promise<Bytes>;
  /** 32 bytes: HMAC-SHA-256 under a key of any length, none included (RFC 2104). */
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Promise<Bytes>;
  /** HKDF-SHA-256 extract and expand (RFC 5869 §2.2, §2.3). RangeError unless `lengthBytes` is 1 … 8,160. */
  hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, lengthBytes: number): Promise<Bytes>;
}
