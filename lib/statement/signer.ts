import type { NodeKeys } from "#lib/identity";

/** Whoever signs statements: a node's keys, or a key that stays in a KMS. */
export interface Signer {
  /** 64 hex digits: the identity change whose Ed25519 key signs. */
  readonly kid: string;
  /** The 64-byte Ed25519 signature of `message` (RFC 8032). */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A node's own keys as signer. */
export function nodeSigner(keys: Pick<NodeKeys, "identity" | "sign">): Signer {
  return { kid: keys.identity.last.hash, sign: (message) => keys.sign(message) };
}
