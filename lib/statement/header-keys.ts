import { type Bytes, concat, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";

/** The two MAC keys of an agent and the key that Solaris has for it alone (PROTOCOL §5). */
export interface HeaderKeys {
  /** 32 bytes, HS256 of the authorization header: info `mercury/1 header`. */
  readonly header: Bytes;
  /** 32 bytes, HMAC-SHA-256 of Solaris' answer: info `mercury/1 answer`. */
  readonly answer: Bytes;
}

/**
 * HKDF-SHA-256 (RFC 5869) over the 32-byte X25519 secret of agent and Solaris-for-this-agent, salt = the agent's 32-byte
 * public key ‖ Solaris' 32-byte public key. Both sides derive the same; a MAC under one is none under the other.
 */
export async function headerKeys(
  suite: CryptoSuite,
  shared: Uint8Array,
  agentPublicKey: Uint8Array,
  solarisPublicKey: Uint8Array,
): Promise<HeaderKeys> {
  if (shared.length !== 32 || agentPublicKey.length !== 32 || solarisPublicKey.length !== 32)
    throw new RangeError("header keys are derived from 32 bytes each");
  const salt = concat(agentPublicKey, solarisPublicKey);
  return {
    header: await suite.hkdfSha256(shared, salt, utf8("mercury/1 header"), 32),
    answer: await suite.hkdfSha256(shared, salt, utf8("mercury/1 answer"), 32),
  };
}
