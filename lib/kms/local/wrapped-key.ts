import { type Bytes, concat, encodeCbor, hex, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { AeadKey, CryptoSuite } from "#lib/crypto";

const nonceBytes = 12;

/** A key-encryption key, ready for use. */
export interface KeyEncryptionKey {
  /** 16 hex digits that tell it from others and say nothing about it. */
  readonly id: string;
  readonly aead: AeadKey;
  /** 32 bytes; needed once, to wrap it under its successor. */
  readonly raw: Bytes;
}

/** The key-encryption key of 32 bytes. RangeError on another length. */
export async function keyEncryptionKey(suite: CryptoSuite, raw: Uint8Array): Promise<KeyEncryptionKey> {
  if (raw.length !== 32) throw new RangeError(`a key-encryption key is 32 bytes long, not ${raw.length}`);
  const own = Uint8Array.from(raw);
  const id = hex(await suite.sha256(concat(utf8("mercury/1 kek id"), own))).slice(0, 16);
  return { id, aead: await suite.aeadKey(own), raw: own };
}

/** What a wrapped secret belongs to: additional data, so that no row's secret passes for another's. */
export interface KeyRecord {
  readonly name: string;
  readonly kind: string;
  /** Empty for a data key. */
  readonly public: Uint8Array;
}

/** 12-byte random nonce ‖ AES-256-GCM ciphertext ‖ 16-byte tag: 60 bytes for a 32-byte secret. */
export async function wrapSecret(
  random: Random,
  kek: Pick<KeyEncryptionKey, "aead">,
  record: KeyRecord,
  secret: Uint8Array,
): Promise<Bytes> {
  const nonce = random(nonceBytes);
  return concat(nonce, await kek.aead.seal(nonce, additionalData(record), secret));
}

/** The secret that `wrapSecret` was given. Fault `crypto` under another key or for another record. */
export function unwrapSecret(
  kek: Pick<KeyEncryptionKey, "aead">,
  record: KeyRecord,
  wrapped: Uint8Array,
): Promise<Bytes> {
  return kek.aead.open(wrapped.slice(0, nonceBytes), additionalData(record), wrapped.slice(nonceBytes));
}

function additionalData({ name, kind, public: publicKey }: KeyRecord): Bytes {
  return encodeCbor(["mercury/1 wrapped key", name, kind, publicKey]);
}
