/**
 * Noise_XX_25519_AESGCM_SHA256 written down from "The Noise Protocol Framework", revision 34, object by object and
 * line by line, on noble. Slow, synchronous, without limits or careful errors: something to compare lib/noise with.
 */
import { gcm } from "@noble/ciphers/aes.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

type Octets = Uint8Array;
const HASHLEN = 32;
const DHLEN = 32;
const maxNonce = 2n ** 64n - 1n;

// §12 The functions of the protocol's name

const GENERATE_KEYPAIR = (privateKey: Octets) => ({ privateKey, publicKey: x25519.getPublicKey(privateKey) });
type KeyPair = ReturnType<typeof GENERATE_KEYPAIR>;
const DH = (keyPair: KeyPair, publicKey: Octets) => x25519.getSharedSecret(keyPair.privateKey, publicKey);
const HASH = (data: Octets) => sha256(data);
const HMAC_HASH = (key: Octets, data: Octets) => hmac(sha256, key, data);

/** §12.4: "The 96-bit nonce is formed by encoding 32 bits of zeros followed by big-endian encoding of n." */
function nonce(n: bigint): Octets {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, n, false);
  return bytes;
}
const ENCRYPT = (k: Octets, n: bigint, ad: Octets, plaintext: Octets) => gcm(k, nonce(n), ad).encrypt(plaintext);
const DECRYPT = (k: Octets, n: bigint, ad: Octets, ciphertext: Octets) => gcm(k, nonce(n), ad).decrypt(ciphertext);
/** §4.2, the default. */
const REKEY = (k: Octets) => ENCRYPT(k, maxNonce, new Uint8Array(0), new Uint8Array(32)).subarray(0, 32);

/** §4.3, for two outputs. */
function HKDF(chainingKey: Octets, inputKeyMaterial: Octets): [Octets, Octets] {
  const tempKey = HMAC_HASH(chainingKey, inputKeyMaterial);
  const output1 = HMAC_HASH(tempKey, Uint8Array.of(0x01));
  const output2 = HMAC_HASH(tempKey, join(output1, Uint8Array.of(0x02)));
  return [output1, output2];
}

/** §5.1 */
export class ReferenceCipherState {
  k: Octets | undefined;
  n = 0n;
  constructor(key?: Octets) {
    this.k = key;
  }
  EncryptWithAd(ad: Octets, plaintext: Octets): Octets {
    return this.k ? ENCRYPT(this.k, this.n++, ad, plaintext) : plaintext;
  }
  DecryptWithAd(ad: Octets, ciphertext: Octets): Octets {
    if (!this.k) return ciphertext;
    const plaintext = DECRYPT(this.k, this.n, ad, ciphertext);
    this.n++;
    return plaintext;
  }
  Rekey(): void {
    if (this.k) this.k = REKEY(this.k);
  }
}

/** §5.2 */
class SymmetricState {
  cipher = new ReferenceCipherState();
  ck: Octets;
  h: Octets;
  constructor(protocolName: string) {
    const name = new TextEncoder().encode(protocolName);
    this.h = name.length <= HASHLEN ? join(name, new Uint8Array(HASHLEN - name.length)) : HASH(name);
    this.ck = this.h;
  }
  MixKey(inputKeyMaterial: Octets): void {
    const [ck, tempK] = HKDF(this.ck, inputKeyMaterial);
    this.ck = ck;
    this.cipher = new ReferenceCipherState(tempK);
  }
  MixHash(data: Octets): void {
    this.h = HASH(join(this.h, data));
  }
  EncryptAndHash(plaintext: Octets): Octets {
    const ciphertext = this.cipher.EncryptWithAd(this.h, plaintext);
    this.MixHash(ciphertext);
    return ciphertext;
  }
  DecryptAndHash(ciphertext: Octets): Octets {
    const plaintext = this.cipher.DecryptWithAd(this.h, ciphertext);
    this.MixHash(ciphertext);
    return plaintext;
  }
  Split(): [ReferenceCipherState, ReferenceCipherState] {
    const [tempK1, tempK2] = HKDF(this.ck, new Uint8Array(0));
    return [new ReferenceCipherState(tempK1), new ReferenceCipherState(tempK2)];
  }
}

/** §7.5: XX, with the token `es` and `se` as seen from the initiator. */
const XX = [["e"], ["e", "ee", "s", "es"], ["s", "se"]] as const;

/** §5.3; `e` is given instead of generated, so that a run can be repeated. */
export class ReferenceHandshake {
  readonly symmetric = new SymmetricState("Noise_XX_25519_AESGCM_SHA256");
  readonly initiator: boolean;
  readonly s: KeyPair;
  readonly e: KeyPair;
  rs: Octets = new Uint8Array(0);
  re: Octets = new Uint8Array(0);
  patterns = [...XX];

  constructor(initiator: boolean, prologue: Octets, staticSecret: Octets, ephemeralSecret: Octets) {
    this.initiator = initiator;
    this.s = GENERATE_KEYPAIR(staticSecret);
    this.e = GENERATE_KEYPAIR(ephemeralSecret);
    this.symmetric.MixHash(prologue);
  }

  WriteMessage(payload: Octets): Octets {
    let buffer: Octets = new Uint8Array(0);
    for (const token of this.patterns.shift() ?? []) {
      if (token === "e") {
        buffer = join(buffer, this.e.publicKey);
        this.symmetric.MixHash(this.e.publicKey);
      } else if (token === "s") {
        buffer = join(buffer, this.symmetric.EncryptAndHash(this.s.publicKey));
      } else this.mix(token);
    }
    return join(buffer, this.symmetric.EncryptAndHash(payload));
  }

  ReadMessage(message: Octets): Octets {
    let rest = message;
    for (const token of this.patterns.shift() ?? []) {
      if (token === "e") {
        this.re = rest.subarray(0, DHLEN);
        rest = rest.subarray(DHLEN);
        this.symmetric.MixHash(this.re);
      } else if (token === "s") {
        const length = this.symmetric.cipher.k ? DHLEN + 16 : DHLEN;
        this.rs = this.symmetric.DecryptAndHash(rest.subarray(0, length));
        rest = rest.subarray(length);
      } else this.mix(token);
    }
    return this.symmetric.DecryptAndHash(rest);
  }

  private mix(token: "ee" | "es" | "se"): void {
    if (token === "ee") this.symmetric.MixKey(DH(this.e, this.re));
    else if ((token === "es") === this.initiator) this.symmetric.MixKey(DH(this.e, this.rs));
    else this.symmetric.MixKey(DH(this.s, this.re));
  }
}

function join(a: Octets, b: Octets): Octets {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
