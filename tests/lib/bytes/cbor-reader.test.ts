import { describe, expect, test } from "bun:test";
import { decode } from "cborg";
import fc from "fast-check";
import { type CborValue, decodeCbor, encodeCbor, equalBytes } from "#lib/bytes";

const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: "grapheme", maxLength: 30 }));
const value = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.integer({ min: -300, max: 300 }),
    fc.double({ noDefaultInfinity: true, noNaN: true }),
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(text, tie("value"), { maxKeys: 30 }),
  ),
})).value;

const strict = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
};

/** What an independent reader makes of bytes that our own writer would write just so; undefined for all others. */
function independently(bytes: Uint8Array): CborValue | undefined {
  try {
    const read: CborValue = decode(bytes, strict);
    return equalBytes(encodeCbor(read), bytes) ? read : undefined;
  } catch {
    return undefined;
  }
}

function ours(bytes: Uint8Array): unknown {
  try {
    return decodeCbor(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return undefined;
  }
}

describe("decodeCbor", () => {
  test("reads what an independent decoder reads", () => {
    fc.assert(
      fc.property(value, (given) => {
        const bytes = encodeCbor(given);
        expect(decodeCbor(bytes)).toEqual(decode(bytes, strict));
      }),
      { numRuns: 500 },
    );
  });

  test("takes and refuses what an independent decoder and our writer together do, however bytes were changed", () => {
    const change = fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.boolean() });
    fc.assert(
      fc.property(value, fc.array(change, { minLength: 1, maxLength: 3 }), (given, changes) => {
        let bytes: Uint8Array = encodeCbor(given);
        for (const { at, to, cut } of changes) {
          bytes[at % bytes.length] = to;
          if (cut) bytes = bytes.slice(0, Math.max(1, at % bytes.length));
        }
        expect(ours(bytes)).toEqual(independently(bytes));
      }),
      { numRuns: 3_000 },
    );
  });

  test("gives bytes in a buffer of their own", () => {
    const bytes = encodeCbor(new Uint8Array([1, 2]));
    const read = decodeCbor(bytes);
    bytes.fill(9);
    expect(read).toEqual(new Uint8Array([1, 2]));
  });

  test("a key that names a prototype is a key", () => {
    const read = decodeCbor(encodeCbor(JSON.parse('{"__proto__": {"admin": true}}')));
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(Object.keys(Object(read))).toEqual(["__proto__"]);
  });

  test("a length that can't be true, and depth without end, are refused before anything is made of them", () => {
    expect(() => decodeCbor(new Uint8Array([0x9b, 0, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff]))).toThrow(TypeError);
    expect(() => decodeCbor(new Uint8Array([0x5a, 0x7f, 0xff, 0xff, 0xff]))).toThrow(TypeError);
    expect(() => decodeCbor(new Uint8Array(100_000).fill(0x81))).toThrow(TypeError);
  });
});
