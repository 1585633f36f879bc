import { describe, expect, test } from "bun:test";
import { hex } from "#lib/bytes";
import { caught, expectFault } from "#support/faults";
import { octets } from "#support/octets";
import { suites } from "./suites.ts";

const none = new Uint8Array(0);
const secret = new Uint8Array(32).fill(7);

/** Every u-coordinate of low order that 32 bytes can say: 0, 1, the two of order 8, p - 1, p, p + 1, and the top bit. */
const lowOrder = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].flatMap((text) => {
  const withTopBit = octets(text);
  withTopBit[31] = (withTopBit[31] ?? 0) | 0x80;
  return [text, hex(withTopBit)];
});

describe.each(suites)("bad input to %s", (_name, suite) => {
  test.each(lowOrder)("X25519 refuses the low-order key %s", async (peer) => {
    const key = await suite.agreementKey(secret);
    await expectFault(key.agree(octets(peer)), "crypto");
  });

  test.each([0, 31, 33, 64])("X25519 refuses a peer's key of %i bytes", async (length) => {
    const key = await suite.agreementKey(secret);
    await expectFault(key.agree(new Uint8Array(length).fill(9)), "crypto");
  });

  test.each([0, 16, 31, 33, 64])("secrets, seeds and keys of %i bytes are a caller's bug", async (length) => {
    const wrong = new Uint8Array(length);
    expect(await caught(suite.agreementKey(wrong))).toBeInstanceOf(RangeError);
    expect(await caught(suite.signingKey(wrong))).toBeInstanceOf(RangeError);
    expect(await caught(suite.aeadKey(wrong))).toBeInstanceOf(RangeError);
  });

  test.each([0, 8, 11, 13, 16])("a nonce of %i bytes is a caller's bug", async (length) => {
    const key = await suite.aeadKey(secret);
    expect(await caught(key.seal(new Uint8Array(length), none, none))).toBeInstanceOf(RangeError);
    expect(await caught(key.open(new Uint8Array(length), none, new Uint8Array(16)))).toBeInstanceOf(RangeError);
  });

  test("AES-256-GCM refuses every change and every cut", async () => {
    const key = await suite.aeadKey(secret);
    const nonce = new Uint8Array(12);
    const aad = octets("0102");
    const sealed = await key.seal(nonce, aad, octets("00112233445566778899"));
    expect(hex(await key.open(nonce, aad, sealed))).toBe("00112233445566778899");
    for (let index = 0; index < sealed.length; index++)
      for (let bit = 0; bit < 8; bit++) {
        const changed = Uint8Array.from(sealed);
        changed[index] = (changed[index] ?? 0) ^ (1 << bit);
        await expectFault(key.open(nonce, aad, changed), "crypto");
      }
    for (let length = 0; length < sealed.length; length++)
      await expectFault(key.open(nonce, aad, sealed.subarray(0, length)), "crypto");
    await expectFault(key.open(nonce, octets("0103"), sealed), "crypto");
    await expectFault(key.open(new Uint8Array(12).fill(1), aad, sealed), "crypto");
    const other = await suite.aeadKey(new Uint8Array(32));
    await expectFault(other.open(nonce, aad, sealed), "crypto");
  });

  test.each([0, -1, 1.5, 8_161, Number.NaN, Number.POSITIVE_INFINITY])("HKDF gives no %p bytes", async (length) => {
    expect(await caught(suite.hkdfSha256(none, none, none, length))).toBeInstanceOf(RangeError);
  });

  test("what is no Uint8Array is a caller's bug", async () => {
    const wrong = "00".repeat(32) as unknown as Uint8Array; // what a caller without types could pass
    const key = await suite.agreementKey(secret);
    const signing = await suite.signingKey(secret);
    const aead = await suite.aeadKey(secret);
    const nonce = new Uint8Array(12);
    const calls = [
      () => suite.agreementKey(wrong),
      () => suite.signingKey(wrong),
      () => suite.aeadKey(wrong),
      () => suite.sha256(wrong),
      () => suite.hmacSha256(wrong, none),
      () => suite.hmacSha256(none, wrong),
      () => suite.hkdfSha256(wrong, none, none, 32),
      () => suite.hkdfSha256(none, wrong, none, 32),
      () => suite.hkdfSha256(none, none, wrong, 32),
      () => suite.verify(wrong, none, new Uint8Array(64)),
      () => suite.verify(secret, wrong, new Uint8Array(64)),
      () => suite.verify(secret, none, wrong),
      () => key.agree(wrong),
      () => signing.sign(wrong),
      () => aead.seal(wrong, none, none),
      () => aead.seal(nonce, wrong, none),
      () => aead.seal(nonce, none, wrong),
      () => aead.open(nonce, none, wrong),
    ];
    for (const call of calls) expect(await caught(call)).toBeInstanceOf(TypeError);
  });

  test("what was passed in may be changed as soon as the call returned", async () => {
    const scratch = () => new Uint8Array(32).fill(7);
    const wipe = (...arrays: Uint8Array[]) => {
      for (const array of arrays) array.fill(0xee);
    };
    const [a, b, c] = [scratch(), scratch(), scratch()];
    const [key, signing, aead] = [suite.agreementKey(a), suite.signingKey(b), suite.aeadKey(c)];
    wipe(a, b, c);
    const clean = { key: await suite.agreementKey(secret), signing: await suite.signingKey(secret) };
    expect(hex((await key).publicKey)).toBe(hex(clean.key.publicKey));
    expect(hex((await signing).publicKey)).toBe(hex(clean.signing.publicKey));

    const [nonce, aad, text] = [new Uint8Array(12).fill(1), scratch(), scratch()];
    const sealed = (await aead).seal(nonce, aad, text);
    wipe(nonce, aad, text);
    const expected = await (await suite.aeadKey(secret)).seal(new Uint8Array(12).fill(1), scratch(), scratch());
    expect(hex(await sealed)).toBe(hex(expected));

    const [peer, data, ikm, salt, info, macKey] = [scratch(), scratch(), scratch(), scratch(), scratch(), scratch()];
    const shared = (await key).agree(peer);
    const mac = suite.hmacSha256(macKey, data);
    const okm = suite.hkdfSha256(ikm, salt, info, 40);
    const signature = (await signing).sign(secret);
    wipe(peer, data, ikm, salt, info, macKey);
    expect(hex(await shared)).toBe(hex(await clean.key.agree(secret)));
    expect(hex(await mac)).toBe(hex(await suite.hmacSha256(secret, secret)));
    expect(hex(await okm)).toBe(hex(await suite.hkdfSha256(secret, secret, secret, 40)));

    const [publicKey, message, claimed] = [Uint8Array.from(clean.signing.publicKey), scratch(), await signature];
    const verdict = suite.verify(publicKey, message, claimed);
    wipe(publicKey, message, claimed);
    expect(await verdict).toBe(true);
  });

  test("many seals and opens are in flight at once", async () => {
    const key = await suite.aeadKey(secret);
    const nonce = (n: number) => new Uint8Array(12).fill(n, 11);
    const texts = Array.from({ length: 16 }, (_, n) => new Uint8Array(n * 100).fill(n));
    const sealed = await Promise.all(texts.map((text, n) => key.seal(nonce(n), none, text)));
    const opened = await Promise.all(sealed.map((one, n) => key.open(nonce(n), none, one)));
    expect(opened.map(hex)).toEqual(texts.map(hex));
  });
});
