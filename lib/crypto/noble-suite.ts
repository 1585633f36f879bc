import { gcm } from "@noble/ciphers/aes.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { concat, equalBytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { demandBytes, demandHkdfLength, plainBytes } from "./demand.ts";
import { isStrictEd25519 } from "./ed25519-form.ts";
import type { AeadKey, AgreementKey, CryptoSuite, SigningKey } from "./suite.ts";

const allZero = new Uint8Array(32);
const tagBytes = 16;

/**
 * The suite on noble: plain JavaScript, for a runtime whose Web Crypto lacks an algorithm. Slower (X25519 9 times,
 * AES on long records 30 times and more) and, as JavaScript is, not promised to take constant time.
 */
export const nobleSuite: CryptoSuite = {
  name: "noble",
  agreementKey,
  signingKey,
  verify,
  aeadKey,
  async sha256(bytes) {
    demandBytes("data", bytes);
    return plainBytes(sha256(bytes));
  },
  async hmacSha256(key, bytes) {
    demandBytes("key", key);
    demandBytes("data", bytes);
    return plainBytes(hmac(sha256, key, bytes));
  },
  async hkdfSha256(ikm, salt, info, lengthBytes) {
    demandBytes("input key material", ikm);
    demandBytes("salt", salt);
    demandBytes("info", info);
    demandHkdfLength(lengthBytes);
    return plainBytes(hkdf(sha256, ikm, salt, info, lengthBytes));
  },
};

async function agreementKey(secret: Uint8Array): Promise<AgreementKey> {
  demandBytes("X25519 secret", secret, 32);
  const own = Uint8Array.from(secret);
  return {
    publicKey: plainBytes(x25519.getPublicKey(own)),
    async agree(peerPublicKey) {
      demandBytes("X25519 public key", peerPublicKey);
      if (peerPublicKey.length !== 32) throw new Fault("crypto", "an X25519 public key is 32 bytes long");
      let shared: Uint8Array;
      try {
        shared = x25519.getSharedSecret(own, peerPublicKey);
      } catch (cause) {
        throw new Fault("crypto", "no shared secret with this X25519 public key", { cause });
      }
      // noble refuses this itself; the check is ours to keep, whatever a version does.
      if (equalBytes(shared, allZero)) throw new Fault("crypto", "the X25519 public key has low order");
      return plainBytes(shared);
    },
  };
}

async function signingKey(seed: Uint8Array): Promise<SigningKey> {
  demandBytes("Ed25519 seed", seed, 32);
  const own = Uint8Array.from(seed);
  return {
    publicKey: plainBytes(ed25519.getPublicKey(own)),
    async sign(message) {
      demandBytes("message", message);
      return plainBytes(ed25519.sign(message, own));
    },
  };
}

/**
 * RFC 8032 §5.1.7 without the cofactor, as Web Crypto has it: encode([S]B - [k]A) = R. noble's own `verify` multiplies
 * by the cofactor even when strict, and would accept signatures that Web Crypto refuses.
 */
async function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  demandBytes("Ed25519 public key", publicKey);
  demandBytes("message", message);
  demandBytes("signature", signature);
  if (!isStrictEd25519(publicKey, signature)) return false;
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32)];
  let a: typeof ed25519.Point.BASE;
  try {
    a = ed25519.Point.fromBytes(publicKey);
  } catch {
    return false; // not on the curve
  }
  const { Fn } = ed25519.Point;
  const k = Fn.create(littleEndian(sha512(concat(r, publicKey, message))));
  const expected = ed25519.Point.BASE.multiplyUnsafe(littleEndian(s)).subtract(a.multiplyUnsafe(k));
  return equalBytes(expected.toBytes(), r);
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let index = bytes.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index] ?? 0);
  return value;
}

async function aeadKey(raw: Uint8Array): Promise<AeadKey> {
  demandBytes("AES-256-GCM key", raw, 32);
  const key = Uint8Array.from(raw);
  return {
    async seal(nonce, additionalData, plaintext) {
      demandBytes("nonce", nonce, 12);
      demandBytes("additional data", additionalData);
      demandBytes("plaintext", plaintext);
      return plainBytes(gcm(key, nonce, additionalData).encrypt(plaintext));
    },
    async open(nonce, additionalData, ciphertext) {
      demandBytes("nonce", nonce, 12);
      demandBytes("additional data", additionalData);
      demandBytes("ciphertext", ciphertext);
      if (ciphertext.length < tagBytes) throw new Fault("crypto", "shorter than a tag");
      try {
        return plainBytes(gcm(key, nonce, additionalData).decrypt(ciphertext));
      } catch (cause) {
        throw new Fault("crypto", "the tag does not fit", { cause });
      }
    },
  };
}
