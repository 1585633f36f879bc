import { type Bytes, equalBytes, fromHex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { CryptoSuite } from "./suite.ts";

/**
 * Performs every operation of `suite` on published values and throws unless each gives its known answer:
 * TypeError, or whatever the operation itself throws where the runtime lacks it.
 */
export async function knownAnswers(suite: CryptoSuite): Promise<void> {
  await hashes(suite);
  await agreement(suite);
  await signatures(suite);
  await aead(suite);
}

async function hashes(suite: CryptoSuite): Promise<void> {
  // FIPS 180-4, "abc"
  same("SHA-256", await suite.sha256(utf8("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231 §4.3
  const mac = await suite.hmacSha256(utf8("Jefe"), utf8("what do ya want for nothing?"));
  same("HMAC-SHA-256", mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // RFC 5869 §A.1
  const okm = await suite.hkdfSha256(
    bytes("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
    bytes("000102030405060708090a0b0c"),
    bytes("f0f1f2f3f4f5f6f7f8f9"),
    42,
  );
  const expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
  same("HKDF-SHA-256", okm, expected);
}

async function agreement(suite: CryptoSuite): Promise<void> {
  // RFC 7748 §6.1
  const alice = await suite.agreementKey(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const bob = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  same("X25519", alice.publicKey, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  same("X25519", await alice.agree(bob), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  try {
    await alice.agree(new Uint8Array(32));
  } catch (error) {
    if (error instanceof Fault && error.code === "crypto") return;
    throw error;
  }
  throw new TypeError("X25519 gives an all-zero secret");
}

async function signatures(suite: CryptoSuite): Promise<void> {
  // RFC 8032 §7.1, TEST 3
  const key = await suite.signingKey(bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
  const message = bytes("af82");
  same("Ed25519", key.publicKey, "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
  const signature = await key.sign(message);
  const expected =
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
  same("Ed25519", signature, expected);
  if (!(await suite.verify(key.publicKey, message, signature)))
    throw new TypeError("Ed25519 refuses its own signature");
  if (await suite.verify(key.publicKey, bytes("af83"), signature)) throw new TypeError("Ed25519 accepts a forgery");
  // Made for this: the public key has a part of order 8, so that only a verifier with cofactor accepts.
  const mixed = bytes("8399b28fee8b3b2c7d668990fc6884ec3ff12488a18560adf1bbc56b7bbfe942");
  const torsion = bytes(
    "b152e8f0d14bb4796c5c48efc168a523b55583f73462b0946d4e834b70959344e5a4e2332dcd8bacef5dd31b5a9b09a974203e0d62be5b1ed64d8a2f003ff90b",
  );
  if (await suite.verify(mixed, bytes("00"), torsion)) throw new TypeError("Ed25519 verifies with the cofactor");
}

async function aead(suite: CryptoSuite): Promise<void> {
  // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16
  const key = await suite.aeadKey(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  const nonce = bytes("cafebabefacedbaddecaf888");
  const additionalData = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const plaintext =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  const sealed =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b";
  same("AES-256-GCM", await key.seal(nonce, additionalData, bytes(plaintext)), sealed);
  same("AES-256-GCM", await key.open(nonce, additionalData, bytes(sealed)), plaintext);
}

function same(what: string, actual: Uint8Array, expectedHex: string): void {
  if (!equalBytes(actual, bytes(expectedHex))) throw new TypeError(`${what} gives another answer than is known`);
}

function bytes(text: string): Bytes {
  const value = fromHex(text);
  if (value === undefined) throw new TypeError("not hexadecimal");
  return value;
}
