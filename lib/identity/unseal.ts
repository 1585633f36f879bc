import type { Bytes } from "#lib/bytes";
import type { AgreementKey, CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { contentKey, readSealed } from "./sealed-form.ts";

/** Opens what was sealed to one of the holder's keys. */
export type Unseal = (jwe: string) => Promise<Bytes>;

/**
 * Unsealing with the key that `keyOf` gives for the recipient's identity change (`kid`). Takes the one form that
 * `seal` makes: another `alg`, `enc`, curve or header parameter is refused unread. Faults: `too_large`,
 * `malformed`; `crypto` when it was sealed to another key or was changed.
 */
export function makeUnseal(
  suite: CryptoSuite,
  keyOf: (kid: string) => Pick<AgreementKey, "agree"> | undefined,
): Unseal {
  return async (jwe) => {
    const { kid, ephemeral, additionalData, nonce, ciphertext } = readSealed(jwe);
    const key = keyOf(kid);
    if (key === undefined) throw new Fault("crypto", "sealed to another key", { detail: { kid } });
    const aead = await suite.aeadKey(await contentKey(suite, await key.agree(ephemeral)));
    return await aead.open(nonce, additionalData, ciphertext);
  };
}

/** 64 hex digits: the identity change that something was sealed to. Faults: `too_large`, `malformed`. */
export function sealedKid(jwe: string): string {
  return readSealed(jwe).kid;
}
