import { describe, expect, test } from "bun:test";
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concat } from "#lib/bytes";
import { octets } from "#support/octets";
import { suites } from "./suites.ts";

const { Point } = ed25519;
const order = Point.Fn.ORDER;
/** A point of order 8; its multiples are all eight points that the cofactor removes. */
const torsion = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
const torsions = Array.from({ length: 8 }, (_, times) => torsion.multiplyUnsafe(BigInt(times)));
const message = octets("6d65737361676500");

/** A signature under A = aB + Ta with R = rB + Tr that holds as far as the parts of prime order go. */
function forge(a: bigint, ta: typeof torsion, r: bigint, tr: typeof torsion) {
  const times = (scalar: bigint) => (scalar === 0n ? Point.ZERO : Point.BASE.multiply(scalar));
  const A = times(a).add(ta);
  const R = times(r).add(tr);
  const k = Point.Fn.create(fromLittleEndian(sha512(concat(R.toBytes(), A.toBytes(), message))));
  const s = Point.Fn.create(r + k * a);
  // [S]B - [k]A - R, which is zero without the cofactor only if [k]Ta + Tr is
  const holds = ta.multiplyUnsafe(k).add(tr).is0();
  return { publicKey: A.toBytes(), R: R.toBytes(), s, signature: concat(R.toBytes(), littleEndian(s)), holds };
}

function littleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
}

function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

describe.each(suites)("Ed25519 on %s", (_name, suite) => {
  test("keys and R with a part of small order: the equation without the cofactor decides", async () => {
    const verdicts = { true: 0, false: 0 };
    for (const [i, ta] of torsions.entries())
      for (const [j, tr] of torsions.entries()) {
        const { publicKey, signature, holds } = forge(123_456_789n + BigInt(i), ta, 987_654_321n + BigInt(j), tr);
        expect(await suite.verify(publicKey, message, signature)).toBe(holds);
        verdicts[`${holds}`]++;
      }
    expect(verdicts.true).toBeGreaterThan(1); // the honest one, and some whose small parts cancel out
    expect(verdicts.false).toBeGreaterThan(40);
  });

  test("a key of small order signs anything, so it is refused", async () => {
    for (const ta of torsions)
      for (let r = 5n; r < 13n; r++) {
        const { publicKey, signature } = forge(0n, ta, r, Point.ZERO);
        expect(await suite.verify(publicKey, message, signature)).toBe(false);
      }
  });

  test("R of small order is refused", async () => {
    for (const tr of torsions) {
      const { publicKey, signature } = forge(77n, Point.ZERO, 0n, tr);
      expect(await suite.verify(publicKey, message, signature)).toBe(false);
    }
  });

  test("S + L, the second form of a signature, is refused", async () => {
    const { publicKey, R, s, signature } = forge(77n, Point.ZERO, 99n, Point.ZERO);
    expect(await suite.verify(publicKey, message, signature)).toBe(true);
    expect(await suite.verify(publicKey, message, concat(R, littleEndian(s + order)))).toBe(false);
    expect(await suite.verify(publicKey, message, concat(R, littleEndian(order)))).toBe(false);
    for (const bit of [253, 254, 255])
      expect(await suite.verify(publicKey, message, concat(R, littleEndian(s | (1n << BigInt(bit)))))).toBe(false);
  });

  test("encodings that are not the one of their point are refused, as key and as R", async () => {
    const p = Point.Fp.ORDER;
    const { publicKey, signature } = forge(77n, Point.ZERO, 99n, Point.ZERO);
    for (let y = 0n; y < 19n; y++)
      for (const sign of [0n, 1n << 255n]) {
        const encoded = littleEndian((p + y) | sign);
        expect(await suite.verify(encoded, message, signature)).toBe(false);
        expect(await suite.verify(publicKey, message, concat(encoded, signature.subarray(32)))).toBe(false);
      }
    for (const y of [1n, p - 1n]) {
      const minusZero = littleEndian(y | (1n << 255n)); // x = 0 with the sign bit set
      expect(await suite.verify(minusZero, message, signature)).toBe(false);
    }
  });

  test("a key that is not on the curve is refused", async () => {
    const { signature } = forge(77n, Point.ZERO, 99n, Point.ZERO);
    const offCurve = [2n, 7n, 8n].map(littleEndian);
    for (const key of offCurve) {
      expect(() => Point.fromBytes(key)).toThrow();
      expect(await suite.verify(key, message, signature)).toBe(false);
    }
  });

  test("a signature holds for its own message and key only, in whole length only", async () => {
    const key = await suite.signingKey(littleEndian(1n));
    const other = await suite.signingKey(littleEndian(2n));
    const signature = await key.sign(message);
    expect(await suite.verify(key.publicKey, message, signature)).toBe(true);
    expect(await suite.verify(other.publicKey, message, signature)).toBe(false);
    expect(await suite.verify(key.publicKey, message.subarray(1), signature)).toBe(false);
    for (let length = 0; length < 64; length++)
      expect(await suite.verify(key.publicKey, message, signature.subarray(0, length))).toBe(false);
    expect(await suite.verify(key.publicKey, message, concat(signature, new Uint8Array(1)))).toBe(false);
    expect(await suite.verify(key.publicKey.subarray(1), message, signature)).toBe(false);
    expect(await suite.verify(concat(key.publicKey, new Uint8Array(1)), message, signature)).toBe(false);
  });
});
