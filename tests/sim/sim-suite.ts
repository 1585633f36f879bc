import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
  verify,
} from "node:crypto";
import { type Bytes, concat, equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";

const tagBytes = 16;
const privateForm = { format: "der", type: "pkcs8" } as const;
const publicForm = { format: "der", type: "spki" } as const;
/** RFC 8410 §7 and §4: what stands in front of the 32 bytes. */
const pkcs8 = (curve: number) => Buffer.from(`302e020100300506032b65${curve.toString(16)}04220420`, "hex");
const spki = (curve: number) => Buffer.from(`302a300506032b65${curve.toString(16)}032100`, "hex");
const [x25519, ed25519] = [0x6e, 0x70];

const privateKey = (curve: number, secret: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([pkcs8(curve), secret]), ...privateForm });
const publicKey = (curve: number, bytes: Uint8Array) =>
  createPublicKey({ key: Buffer.concat([spki(curve), bytes]), ...publicForm });
const publicHalf = (curve: number, secret: Uint8Array) =>
  own(createPublicKey(privateKey(curve, secret)).export(publicForm).subarray(-32));

/** Looks at, or alters, what one process seals: the plaintext with its additional data. */
export type Tap = (additionalData: Uint8Array, plaintext: Bytes) => Bytes;

/**
 * The real algorithms, computed at once, whose promises settle when `later` says so: Web Crypto's asynchrony, in an order that a seed
 * repeats.
 */
export function timedSuite(later: (act: () => void) => void, tap: Tap = (_, plaintext) => plaintext): CryptoSuite {
  const timed = <T>(work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      let settle: () => void;
      try {
        const value = work();
        settle = () => resolve(value);
      } catch (error) {
        settle = () => reject(error);
      }
      later(settle);
    });
  return {
    name: "web",
    agreementKey: (secret) =>
      timed(() => {
        const key = privateKey(x25519, secret);
        const agree = (peer: Uint8Array) =>
          timed(() => {
            const shared = own(diffieHellman({ privateKey: key, publicKey: publicKey(x25519, peer) }));
            if (equalBytes(shared, new Uint8Array(32))) throw new Fault("crypto", "low order");
            return shared;
          });
        return { publicKey: publicHalf(x25519, secret), agree };
      }),
    signingKey: (seed) =>
      timed(() => {
        const key = privateKey(ed25519, seed);
        return { publicKey: publicHalf(ed25519, seed), sign: (message) => timed(() => own(sign(null, message, key))) };
      }),
    verify: (key, message, signature) => timed(() => verify(null, message, publicKey(ed25519, key), signature)),
    aeadKey: (raw) =>
      timed(() => {
        const key = own(raw);
        return {
          seal: (nonce, additionalData, plaintext) => {
            const tapped = tap(additionalData, own(plaintext));
            return timed(() => sealed(key, nonce, additionalData, tapped));
          },
          open: (nonce, additionalData, ciphertext) => timed(() => opened(key, nonce, additionalData, ciphertext)),
        };
      }),
    sha256: (bytes) => timed(() => own(createHash("sha256").update(bytes).digest())),
    hmacSha256: (key, bytes) => timed(() => own(createHmac("sha256", key).update(bytes).digest())),
    hkdfSha256: (ikm, salt, info, length) =>
      timed(() => own(new Uint8Array(hkdfSync("sha256", ikm, salt, info, length)))),
  };
}

function sealed(key: Bytes, nonce: Uint8Array, additionalData: Uint8Array, plaintext: Bytes): Bytes {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(additionalData);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return concat(body, cipher.getAuthTag());
}

function opened(key: Bytes, nonce: Uint8Array, additionalData: Uint8Array, ciphertext: Uint8Array): Bytes {
  if (ciphertext.length < tagBytes) throw new Fault("crypto", "shorter than a tag");
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAAD(additionalData);
  decipher.setAuthTag(ciphertext.subarray(-tagBytes));
  try {
    return own(Buffer.concat([decipher.update(ciphertext.subarray(0, -tagBytes)), decipher.final()]));
  } catch (cause) {
    throw new Fault("crypto", "the tag does not fit", { cause });
  }
}

/** A copy with memory of its own: node's small buffers share theirs. */
function own(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}
