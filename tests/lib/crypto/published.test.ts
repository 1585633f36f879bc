import { describe, expect, test } from "bun:test";
import { hex, utf8 } from "#lib/bytes";
import { octets } from "#support/octets";
import { suites } from "./suites.ts";

const none = new Uint8Array(0);

describe.each(suites)("published vectors on %s", (_name, suite) => {
  test("RFC 7748 §5.2: scalar multiplication", async () => {
    const first = await suite.agreementKey(octets("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
    expect(hex(await first.agree(octets("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")))).toBe(
      "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    );
    // The second one's u-coordinate has its top bit set, which is masked.
    const second = await suite.agreementKey(octets("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"));
    expect(hex(await second.agree(octets("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")))).toBe(
      "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    );
  });

  test("RFC 7748 §5.2: iterated once", async () => {
    const nine = new Uint8Array(32).fill(9, 0, 1);
    const key = await suite.agreementKey(nine);
    expect(hex(await key.agree(nine))).toBe("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  });

  test("RFC 7748 §6.1: Diffie-Hellman", async () => {
    const alice = await suite.agreementKey(octets("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    const bob = await suite.agreementKey(octets("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    expect(hex(alice.publicKey)).toBe("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    expect(hex(bob.publicKey)).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect(hex(await alice.agree(bob.publicKey))).toBe(shared);
    expect(hex(await bob.agree(alice.publicKey))).toBe(shared);
  });

  test.each([
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ])("RFC 8032 §7.1: seed %s", async (seed, publicKey, message, signature) => {
    const key = await suite.signingKey(octets(seed));
    expect(hex(key.publicKey)).toBe(publicKey);
    expect(hex(await key.sign(octets(message)))).toBe(signature);
    expect(await suite.verify(octets(publicKey), octets(message), octets(signature))).toBe(true);
  });

  test("FIPS 180-4: SHA-256", async () => {
    expect(hex(await suite.sha256(none))).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const twoBlocks = utf8("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    expect(hex(await suite.sha256(twoBlocks))).toBe("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  });

  const fill = (byte: number, count: number) => new Uint8Array(count).fill(byte);
  test.each([
    [fill(0x0b, 20), utf8("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
    [
      utf8("Jefe"),
      utf8("what do ya want for nothing?"),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    [fill(0xaa, 20), fill(0xdd, 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"],
    [
      fill(0xaa, 131),
      utf8("Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ],
    // No key and no data: not in the RFC, the value is in many test suites.
    [none, none, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"],
  ])("RFC 4231 §4: HMAC-SHA-256, %#", async (key, data, mac) => {
    expect(hex(await suite.hmacSha256(key, data))).toBe(mac);
  });

  const count = (from: number, to: number) => Uint8Array.from({ length: to - from + 1 }, (_, index) => from + index);
  test.each([
    [
      fill(0x0b, 22),
      count(0x00, 0x0c),
      count(0xf0, 0xf9),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ],
    [
      count(0x00, 0x4f),
      count(0x60, 0xaf),
      count(0xb0, 0xff),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ],
    [
      fill(0x0b, 22),
      none,
      none,
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ],
  ])("RFC 5869 §A: HKDF-SHA-256, %#", async (ikm, salt, info, okm) => {
    expect(hex(await suite.hkdfSha256(ikm, salt, info, okm.length / 2))).toBe(okm);
  });

  const key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  const text =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  test.each([
    ["13", fill(0, 32), fill(0, 12), "", "", "530f8afbc74536b9a963b4f1c4cb738b"],
    [
      "14",
      fill(0, 32),
      fill(0, 12),
      "",
      "00".repeat(16),
      "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    ],
    [
      "15",
      octets(key),
      octets("cafebabefacedbaddecaf888"),
      "",
      `${text}1aafd255`,
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c",
    ],
    [
      "16",
      octets(key),
      octets("cafebabefacedbaddecaf888"),
      "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      text,
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    ],
  ])("McGrew and Viega, test case %s: AES-256-GCM", async (_case, rawKey, nonce, additionalData, plaintext, sealed) => {
    const aead = await suite.aeadKey(rawKey);
    expect(hex(await aead.seal(nonce, octets(additionalData), octets(plaintext)))).toBe(sealed);
    expect(hex(await aead.open(nonce, octets(additionalData), octets(sealed)))).toBe(plaintext);
  });
});

test("RFC 7748 §5.2: iterated 1,000 times, on web", async () => {
  const web = suites[0]?.[1];
  if (web === undefined) throw new TypeError("no suite");
  let k = new Uint8Array(32).fill(9, 0, 1);
  let u = k;
  for (let round = 0; round < 1_000; round++) [k, u] = [await (await web.agreementKey(k)).agree(u), k];
  expect(hex(k)).toBe("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}, 20_000);
