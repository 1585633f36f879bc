import { type Bytes, equalBytes } from "#lib/bytes";
import type { AgreementKey, CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { IdentitySecrets } from "./secrets.ts";
import { makeUnseal } from "./unseal.ts";
import type { VerifiedIdentity } from "./verified-identity.ts";

/** What a node can do with its own identity. The keys themselves can't be had from it (PROTOCOL §1). */
export interface NodeKeys {
  readonly identity: VerifiedIdentity;
  /** The X25519 key of the last change as Noise takes it: its 32-byte public half and the agreement. */
  readonly agreementKey: AgreementKey;
  /** The 32-byte shared secret with a peer's X25519 key. Fault `crypto` when it would be all zero. */
  agree(peerPublicKey: Uint8Array): Promise<Bytes>;
  /** The 64-byte Ed25519 signature of `message` by the last change's key. */
  sign(message: Uint8Array): Promise<Bytes>;
  /** What was sealed to the last change, or to one before whose key is still kept. Faults as `makeUnseal`. */
  unseal(jwe: string): Promise<Bytes>;
}

/** The three operations over secrets. Fault `identity_invalid` when they are not those of the identity's last change. */
export async function nodeKeys(
  suite: CryptoSuite,
  secrets: IdentitySecrets,
  identity: VerifiedIdentity,
): Promise<NodeKeys> {
  const { last } = identity;
  const signing = await suite.signingKey(secrets.ed25519);
  const agreement = await suite.agreementKey(secrets.x25519);
  if (!equalBytes(signing.publicKey, last.ed25519) || !equalBytes(agreement.publicKey, last.x25519))
    throw new Fault("identity_invalid", "the stored keys are not those of the stored identity");
  const byKid = new Map([[last.hash, agreement]]);
  for (const { kid, x25519 } of secrets.former) byKid.set(kid, await suite.agreementKey(x25519));
  return {
    identity,
    agreementKey: agreement,
    agree: (peerPublicKey) => agreement.agree(peerPublicKey),
    sign: (message) => signing.sign(message),
    unseal: makeUnseal(suite, (kid) => byKid.get(kid)),
  };
}
