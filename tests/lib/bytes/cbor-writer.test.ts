import { describe, expect, test } from "bun:test";
import { encode } from "cborg";
import fc from "fast-check";
import { type CborValue, decodeCbor, encodeCbor, hex } from "#lib/bytes";

const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: "grapheme", maxLength: 30 }));
const value = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.integer({ min: -300, max: 300 }),
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(text, tie("value"), { maxKeys: 30 }),
  ),
})).value;

describe("encodeCbor", () => {
  test("writes what an independent encoder writes, and reads it back", () => {
    fc.assert(
      fc.property(value, (given) => {
        const bytes = encodeCbor(given);
        expect(hex(bytes)).toBe(hex(encode(given, { float64: true })));
        expect(hex(encodeCbor(decodeCbor(bytes) as CborValue))).toBe(hex(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test("has the shortest form at every border", () => {
    const borders = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (const number of [...borders, ...borders.map((border) => -1 - border).filter(Number.isSafeInteger)])
      expect(hex(encodeCbor(number))).toBe(hex(encode(number)));
    for (const length of [23, 24, 255, 256, 65_535, 65_536]) {
      expect(encodeCbor("x".repeat(length))).toEqual(encode("x".repeat(length)));
      expect(encodeCbor(new Uint8Array(length))).toEqual(encode(new Uint8Array(length)));
    }
  });

  test("keys of one length stand in the order of their bytes", () => {
    const keys = { "\u{ffff}": 1, "\u{1f600}": 2, zz: 3, b: 4, a: 5, "": 6, é: 7 };
    expect(hex(encodeCbor(keys))).toBe(hex(encode(keys)));
  });

  test("refuses what CBOR has and we do not", () => {
    const undefinedField = { a: undefined } as unknown as CborValue; // what a caller's mistake looks like
    expect(() => encodeCbor(undefinedField)).toThrow(TypeError);
    expect(() => encodeCbor((() => 1) as unknown as CborValue)).toThrow(TypeError);
  });
});
