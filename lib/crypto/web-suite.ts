import { type Bytes, concat, equalBytes, fromBase64url } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { demandBytes, demandHkdfLength, plainBytes } from "./demand.ts";
import { isStrictEd25519 } from "./ed25519-form.ts";
import type { AeadKey, AgreementKey, CryptoSuite, SigningKey } from "./suite.ts";

/** What stands before the 32 private bytes in PKCS #8 (RFC 8410 §7), the one binary form of a private key here. */
const pkcs8X25519 = new Uint8Array([0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 34, 4, 32]);
const pkcs8Ed25519 = new Uint8Array([0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32]);
/** u = 9, so that agreeing with it gives one's own public key (RFC 7748 §4.1, §6.1). */
const basePoint = new Uint8Array(32).fill(9, 0, 1);
const allZero = new Uint8Array(32);
const tagBytes = 16;

/** The suite on Web Crypto: constant time and off the JavaScript thread where the runtime is. */
export const webSuite: CryptoSuite = {
  name: "web",
  agreementKey,
  signingKey,
  verify,
  aeadKey,
  async sha256(bytes) {
    demandBytes("data", bytes);
    return new Uint8Array(await crypto.subtle.digest("SHA-256", plainBytes(bytes)));
  },
  async hmacSha256(key, bytes) {
    demandBytes("key", key);
    demandBytes("data", bytes);
    // Web Crypto takes no empty key; HMAC fills keys up with zeros, so one zero byte is the same key (RFC 2104 §2).
    const raw = key.length === 0 ? new Uint8Array(1) : plainBytes(key);
    const data = Uint8Array.from(bytes); // a copy before the first await: the caller may change its own
    const imported = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
  },
  async hkdfSha256(ikm, salt, info, lengthBytes) {
    demandBytes("input key material", ikm);
    demandBytes("salt", salt);
    demandBytes("info", info);
    demandHkdfLength(lengthBytes);
    const algorithm = { name: "HKDF", hash: "SHA-256", salt: Uint8Array.from(salt), info: Uint8Array.from(info) };
    const imported = await crypto.subtle.importKey("raw", plainBytes(ikm), "HKDF", false, ["deriveBits"]);
    return new Uint8Array(await crypto.subtle.deriveBits(algorithm, imported, lengthBytes * 8));
  },
};

async function agreementKey(secret: Uint8Array): Promise<AgreementKey> {
  demandBytes("X25519 secret", secret, 32);
  const pkcs8 = concat(pkcs8X25519, secret);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  pkcs8.fill(0);
  return { publicKey: await x25519(key, basePoint), agree: (peerPublicKey) => agree(key, peerPublicKey) };
}

async function agree(key: CryptoKey, peerPublicKey: Uint8Array): Promise<Bytes> {
  demandBytes("X25519 public key", peerPublicKey);
  if (peerPublicKey.length !== 32) throw new Fault("crypto", "an X25519 public key is 32 bytes long");
  let shared: Bytes;
  try {
    shared = await x25519(key, plainBytes(peerPublicKey));
  } catch (cause) {
    throw new Fault("crypto", "no shared secret with this X25519 public key", { cause });
  }
  // Web Crypto refuses this itself; the check is ours to keep, whatever a runtime does.
  if (equalBytes(shared, allZero)) throw new Fault("crypto", "the X25519 public key has low order");
  return shared;
}

async function x25519(key: CryptoKey, peer: Bytes): Promise<Bytes> {
  const imported = await crypto.subtle.importKey("raw", peer, "X25519", true, []);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: imported }, key, 256));
}

async function signingKey(seed: Uint8Array): Promise<SigningKey> {
  demandBytes("Ed25519 seed", seed, 32);
  const pkcs8 = concat(pkcs8Ed25519, seed);
  // Nothing in Web Crypto gives the public key of a private one but an export; the exportable key is dropped here.
  const exportable = crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const usable = crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
  const [jwk, key] = await Promise.all([exportable.then((k) => crypto.subtle.exportKey("jwk", k)), usable]);
  pkcs8.fill(0);
  const publicKey = fromBase64url(jwk.x ?? "");
  if (publicKey?.length !== 32) throw new TypeError("this runtime gives no Ed25519 public key");
  return {
    publicKey,
    async sign(message) {
      demandBytes("message", message);
      return new Uint8Array(await crypto.subtle.sign("Ed25519", key, plainBytes(message)));
    },
  };
}

async function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  demandBytes("Ed25519 public key", publicKey);
  demandBytes("message", message);
  demandBytes("signature", signature);
  if (!isStrictEd25519(publicKey, signature)) return false;
  const [data, claimed] = [Uint8Array.from(message), Uint8Array.from(signature)]; // before the first await
  try {
    const key = await crypto.subtle.importKey("raw", plainBytes(publicKey), "Ed25519", true, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, claimed, data);
  } catch {
    return false; // some runtimes refuse a key that is not on the curve when it is imported, others when it is used
  }
}

async function aeadKey(raw: Uint8Array): Promise<AeadKey> {
  demandBytes("AES-256-GCM key", raw, 32);
  const key = await crypto.subtle.importKey("raw", plainBytes(raw), "AES-GCM", false, ["encrypt", "decrypt"]);
  return new WebAeadKey(key);
}

/** A class, not closures: a gateway holds two of them for each of thousands of links, and `raw` must not stay in reach. */
class WebAeadKey implements AeadKey {
  readonly #key: CryptoKey;

  constructor(key: CryptoKey) {
    this.#key = key;
  }

  async seal(nonce: Uint8Array, additionalData: Uint8Array, plaintext: Uint8Array): Promise<Bytes> {
    const algorithm = gcm(nonce, additionalData);
    demandBytes("plaintext", plaintext);
    return new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#key, plainBytes(plaintext)));
  }

  async open(nonce: Uint8Array, additionalData: Uint8Array, ciphertext: Uint8Array): Promise<Bytes> {
    const algorithm = gcm(nonce, additionalData);
    demandBytes("ciphertext", ciphertext);
    if (ciphertext.length < tagBytes) throw new Fault("crypto", "shorter than a tag");
    try {
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, this.#key, plainBytes(ciphertext)));
    } catch (cause) {
      throw new Fault("crypto", "the tag does not fit", { cause });
    }
  }
}

function gcm(nonce: Uint8Array, additionalData: Uint8Array): AesGcmParams {
  demandBytes("nonce", nonce, 12);
  demandBytes("additional data", additionalData);
  return { name: "AES-GCM", iv: plainBytes(nonce), additionalData: plainBytes(additionalData), tagLength: 128 };
}
