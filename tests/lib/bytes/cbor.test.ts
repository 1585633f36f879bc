import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type CborValue, decodeCbor, encodeCbor, fromHex } from "#lib/bytes";

const value: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string(),
    fc.uint8Array().map((bytes) => Uint8Array.from(bytes)),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 5 }),
  ),
})).value;

describe("deterministic CBOR", () => {
  test("what was encoded is decoded", () => {
    fc.assert(
      fc.property(value, (one) => {
        expect(encodeCbor(decodeCbor(encodeCbor(one)) as CborValue)).toEqual(encodeCbor(one));
      }),
    );
  });

  test.each([
    ["trailing byte", "0000"],
    ["1 in two bytes", "1801"],
    ["1 as a float", "f93c00"],
    ["keys not sorted", "a2616201616101"],
    ["a key twice", "a2616101616102"],
    ["indefinite length", "9f01ff"],
    ["undefined", "f7"],
    ["a tag", "c100"],
    ["text that is no UTF-8", "61ff"],
    ["cut off", "8201"],
    ["an integer past 2^53", "1b0020000000000001"],
    ["nothing", ""],
  ])("refused: %s", (_, text) => {
    expect(() => decodeCbor(fromHex(text) ?? new Uint8Array())).toThrow();
  });

  test("random bytes give a value or throw, and never two spellings of one value", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        let decoded: unknown;
        try {
          decoded = decodeCbor(bytes);
        } catch {
          return;
        }
        expect(encodeCbor(decoded as CborValue)).toEqual(Uint8Array.from(bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});
