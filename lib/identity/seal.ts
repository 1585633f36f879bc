import { type Bytes, base64url, encodeJson, fromUtf8, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { sealedBytesMax } from "#lib/limits";
import { contentKey, sealedHeader } from "./sealed-form.ts";
import type { VerifiedIdentity } from "./verified-identity.ts";

/** To whom something is sealed. */
export interface Recipient {
  /** 64 hex digits: hash of the identity change that the key is of. */
  readonly kid: string;
  /** 32 bytes. */
  readonly x25519: Uint8Array;
}

/** The recipient that an identity is: its last change. */
export function recipientOf({ last }: VerifiedIdentity): Recipient {
  return { kid: last.hash, x25519: last.x25519 };
}

/**
 * `content` (bytes, or a text such as a JWS) that only the recipient can open: compact JWE, ECDH-ES + A256GCM (PROTOCOL
 * §2). Proves nothing about who sealed it. Fault `too_large` above `sealedBytesMax`, `crypto` for a key of low order.
 *
 * Not made by jose, though its tests open what this makes and the other way round: jose holds private keys as
 * Web Crypto objects, so it could unseal neither with a key that stays in a KMS nor where Web Crypto lacks X25519.
 */
export async function seal(
  suite: CryptoSuite,
  random: Random,
  { kid, x25519 }: Recipient,
  content: Uint8Array | string,
): Promise<string> {
  const ephemeral = await suite.agreementKey(random(32));
  const header = base64url(encodeJson(sealedHeader(kid, base64url(ephemeral.publicKey))));
  const aead = await suite.aeadKey(await contentKey(suite, await ephemeral.agree(x25519)));
  const nonce = random(12);
  const plaintext = typeof content === "string" ? utf8(content) : content;
  const sealed: Bytes = await aead.seal(nonce, utf8(header), plaintext);
  const [ciphertext, tag] = [sealed.subarray(0, -16), sealed.subarray(-16)];
  const jwe = `${header}..${base64url(nonce)}.${base64url(ciphertext)}.${base64url(tag)}`;
  if (jwe.length > sealedBytesMax) throw new Fault("too_large", "too much to seal");
  return jwe;
}

/** Sealed content that is a text. Fault `malformed` when it is not UTF-8. */
export function unsealedText(content: Uint8Array): string {
  try {
    return fromUtf8(content);
  } catch (cause) {
    throw new Fault("malformed", "what was sealed is not a text", { cause });
  }
}
