import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concat, hex } from "#lib/bytes";
import { type CryptoSuite, nobleSuite, webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";

const bytes = (lengthMax: number) => fc.uint8Array({ minLength: 0, maxLength: lengthMax });
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** What an operation gives, or the code of its Fault; anything else that is thrown fails the test. */
async function outcome(work: Promise<Uint8Array | boolean>): Promise<string> {
  try {
    const value = await work;
    return typeof value === "boolean" ? String(value) : hex(value);
  } catch (error) {
    if (error instanceof Fault) return `fault ${error.code}`;
    throw error;
  }
}

async function same(work: (suite: CryptoSuite) => Promise<Uint8Array | boolean>): Promise<void> {
  expect(await outcome(work(nobleSuite))).toBe(await outcome(work(webSuite)));
}

/** Any point's u-coordinate, the ones at the edges of the field more often than chance would have them. */
const peerKey = fc.oneof(
  { weight: 4, arbitrary: exactly(32) },
  { weight: 1, arbitrary: bytes(40) },
  {
    weight: 2,
    // p + d and 2^255 - d: not reduced, which both must reduce, and the lowest ones, some of low order
    arbitrary: fc.tuple(fc.constantFrom(0xed, 0xff, 0x00), fc.nat(20), fc.boolean()).map(([low, step, top]) => {
      const u = new Uint8Array(32).fill(low === 0 ? 0 : 0xff);
      u[0] = (low + step) & 0xff;
      u[31] = low === 0 ? 0 : 0x7f;
      if (top) u[31] |= 0x80;
      return u;
    }),
  },
);

describe("both suites give the same", () => {
  test("X25519", async () => {
    const property = fc.asyncProperty(exactly(32), peerKey, async (secret, peer) => {
      await same(async (suite) => (await suite.agreementKey(secret)).publicKey);
      await same(async (suite) => (await suite.agreementKey(secret)).agree(peer));
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test("Ed25519 signatures, and refusals of changed ones", async () => {
    const change = fc.option(fc.tuple(fc.nat(63), fc.nat(7)), { nil: undefined });
    const property = fc.asyncProperty(exactly(32), bytes(200), change, async (seed, message, changed) => {
      await same(async (suite) => (await suite.signingKey(seed)).publicKey);
      await same(async (suite) => (await suite.signingKey(seed)).sign(message));
      const key = await webSuite.signingKey(seed);
      const signature = await key.sign(message);
      if (changed) signature[changed[0]] = (signature[changed[0]] ?? 0) ^ (1 << changed[1]);
      const expected = String(changed === undefined);
      for (const suite of [webSuite, nobleSuite])
        expect(await outcome(suite.verify(key.publicKey, message, signature))).toBe(expected);
    });
    await fc.assert(property, { numRuns: 40 });
  });

  test("Ed25519 verdicts about bytes that are no key or signature", async () => {
    const property = fc.asyncProperty(bytes(40), bytes(20), bytes(70), (key, message, signature) =>
      same((suite) => suite.verify(key, message, signature)),
    );
    await fc.assert(property, { numRuns: 40 });
    const sized = fc.asyncProperty(exactly(32), exactly(32), fc.bigInt(0n, 2n ** 252n), async (key, r, s) => {
      const scalar = Uint8Array.from({ length: 32 }, (_, index) => Number((s >> BigInt(8 * index)) & 0xffn));
      await same((suite) => suite.verify(key, new Uint8Array(0), concat(r, scalar)));
    });
    await fc.assert(sized, { numRuns: 60 });
  });

  test("AES-256-GCM, sealed by one and opened by the other, whole and changed", async () => {
    const input = fc.record({ key: exactly(32), nonce: exactly(12), aad: bytes(40), text: bytes(300), at: fc.nat() });
    const property = fc.asyncProperty(input, async ({ key, nonce, aad, text, at }) => {
      await same(async (suite) => (await suite.aeadKey(key)).seal(nonce, aad, text));
      const sealed = await (await webSuite.aeadKey(key)).seal(nonce, aad, text);
      await same(async (suite) => (await suite.aeadKey(key)).open(nonce, aad, sealed));
      expect(hex(await (await nobleSuite.aeadKey(key)).open(nonce, aad, sealed))).toBe(hex(text));
      sealed[at % sealed.length] = (sealed[at % sealed.length] ?? 0) ^ 1;
      await same(async (suite) => (await suite.aeadKey(key)).open(nonce, aad, sealed));
      expect(await outcome(nobleSuite.aeadKey(key).then((k) => k.open(nonce, aad, sealed)))).toBe("fault crypto");
    });
    await fc.assert(property, { numRuns: 80 });
  });

  test("AES-256-GCM on the largest record, and on bytes that start in the middle of a buffer", async () => {
    const whole = Uint8Array.from({ length: 65_519 + 7 }, (_, index) => index * 31);
    const text = whole.subarray(7);
    const key = whole.subarray(3, 35);
    const nonce = whole.subarray(1, 13);
    await same(async (suite) => (await suite.aeadKey(key)).seal(nonce, whole.subarray(5, 6), text));
  });

  test("SHA-256, HMAC and HKDF", async () => {
    const input = fc.record({ a: bytes(200), b: bytes(200), c: bytes(100), length: fc.integer({ min: 1, max: 300 }) });
    const property = fc.asyncProperty(input, async ({ a, b, c, length }) => {
      await same((suite) => suite.sha256(a));
      await same((suite) => suite.hmacSha256(a, b));
      await same((suite) => suite.hkdfSha256(a, b, c, length));
    });
    await fc.assert(property, { numRuns: 80 });
    await same((suite) => suite.hkdfSha256(new Uint8Array(0), new Uint8Array(0), new Uint8Array(0), 8_160));
  });
});
