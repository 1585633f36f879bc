import { z } from "zod";
import { type Bytes, concat, decodeJson, fromBase64url, uint32, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { sealedBytesMax } from "#lib/limits";

/** The compact JWE that we make and read: ECDH-ES with X25519, A256GCM, nothing else (RFC 7516 §7.1, RFC 8037 §3.2). */
export interface SealedParts {
  /** 64 hex digits: the recipient's identity change. */
  readonly kid: string;
  /** 32 bytes. */
  readonly ephemeral: Bytes;
  /** The protected header as it travels: additional data (RFC 7516 §5.2 step 14). */
  readonly additionalData: Bytes;
  /** 12 bytes. */
  readonly nonce: Bytes;
  /** Ciphertext ‖ 16-byte tag. */
  readonly ciphertext: Bytes;
}

const keyText = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
/** Strict: `zip`, `crit`, `apu`, `cty` and whatever else a library would act upon does not exist here. */
const headerSchema = z.strictObject({
  alg: z.literal("ECDH-ES"),
  enc: z.literal("A256GCM"),
  epk: z.strictObject({ crv: z.literal("X25519"), kty: z.literal("OKP"), x: keyText }),
  kid: z.string().regex(/^[0-9a-f]{64}$/),
});
const headerLengthMax = 512;

/** The protected header's JSON for these. */
export function sealedHeader(kid: string, ephemeralText: string) {
  return { alg: "ECDH-ES", enc: "A256GCM", epk: { crv: "X25519", kty: "OKP", x: ephemeralText }, kid } as const;
}

/** The parts of a compact JWE of our one form. Faults: `too_large`, `malformed`. Nothing is decrypted yet. */
export function readSealed(jwe: string): SealedParts {
  if (jwe.length > sealedBytesMax) throw new Fault("too_large", "a sealed text above its limit");
  const [header, encryptedKey, nonceText, ciphertextText, tagText, ...rest] = jwe.split(".", 6);
  if (tagText === undefined || rest.length > 0 || encryptedKey !== "" || (header?.length ?? 0) > headerLengthMax)
    throw new Fault("malformed", "not a compact JWE with direct key agreement");
  const [nonce, ciphertext, tag] = [nonceText, ciphertextText, tagText].map((text) => fromBase64url(text ?? "."));
  if (nonce?.length !== 12 || ciphertext === undefined || tag?.length !== 16)
    throw new Fault("malformed", "a part of a sealed text is not of its form");
  const { kid, ephemeral } = readHeader(header ?? "");
  return { kid, ephemeral, additionalData: utf8(header ?? ""), nonce, ciphertext: concat(ciphertext, tag) };
}

function readHeader(text: string): { kid: string; ephemeral: Bytes } {
  try {
    const { kid, epk } = headerSchema.parse(decodeJson(fromBase64url(text) ?? utf8("")));
    const ephemeral = fromBase64url(epk.x);
    if (ephemeral !== undefined) return { kid, ephemeral };
  } catch (cause) {
    throw new Fault("malformed", "the header of a sealed text is not of our one form", { cause });
  }
  throw new Fault("malformed", "the ephemeral key of a sealed text is not base64url");
}

/**
 * The content encryption key, 32 bytes: Concat KDF with one round of SHA-256 over the shared secret, `A256GCM` and the
 * key length, party names empty (RFC 7518 §4.6.2, NIST SP 800-56A §5.8.1).
 */
export function contentKey(suite: CryptoSuite, shared: Uint8Array): Promise<Bytes> {
  const algorithm = utf8("A256GCM");
  return suite.sha256(
    concat(uint32(1), shared, uint32(algorithm.length), algorithm, uint32(0), uint32(0), uint32(256)),
  );
}
