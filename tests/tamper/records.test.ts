import { describe, expect, test } from "bun:test";
import { type Bytes, uint64 } from "#lib/bytes";
import { withBitTurned } from "#support/octets";
import { numbered, recordPair } from "#support/record-pair";

const codesOf = async (tampered: (record: Bytes) => Bytes[]) => {
  const pair = await recordPair();
  const [first] = await pair.seal(new Uint8Array(24).fill(9));
  await pair.open(...tampered(first ?? new Uint8Array(0)));
  await pair.clock.advance(1_000); // a record that claims to be another leaves a gap
  expect(pair.plaintexts).toEqual([]);
  return pair.openFaults.map(({ code }) => code);
};

describe("the first record", () => {
  test("with any bit of any byte turned closes the channel and delivers nothing", async () => {
    const length = 9 + 24 + 16;
    for (let index = 0; index < length; index++)
      for (const bit of [0, 7]) {
        const codes = await codesOf((record) => [withBitTurned(record, index, bit)]);
        expect(codes).toHaveLength(1);
        expect(["crypto", "malformed", "record_order"]).toContain(codes[0] ?? "");
      }
  });

  test("cut anywhere, or longer by a byte, closes the channel", async () => {
    for (let length = 0; length < 9 + 24 + 16; length++)
      expect(await codesOf((record) => [record.slice(0, length)])).toHaveLength(1);
    expect(await codesOf((record) => [Uint8Array.from([...record, 0])])).toEqual(["crypto"]);
  });

  test("under another counter of the window does not open", async () => {
    for (let counter = 1; counter <= 8; counter++) {
      const codes = await codesOf((record) => {
        const copy = record.slice();
        copy.set(uint64(counter), 1);
        return [copy];
      });
      expect(codes).toEqual(["crypto"]);
    }
  });

  test("with a counter of 2^48 or more is refused before any key is made", async () => {
    for (const counter of [2 ** 48, 2 ** 53 - 1]) {
      const codes = await codesOf((record) => {
        const copy = record.slice();
        copy.set(uint64(counter), 1);
        return [copy];
      });
      expect(codes).toEqual(["record_order"]);
    }
  });

  test("under another key does not open", async () => {
    const [there, back] = [await recordPair(), await recordPair()];
    await there.open(...(await back.seal(...numbered(1))));
    expect(there.openFaults.map(({ code }) => code)).toEqual(["crypto"]);
  });
});

describe("a forged record among good ones", () => {
  test("ends the channel where it stands: what came before is delivered, nothing after", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(10));
    const forged = records.map((record, index) => (index === 6 ? withBitTurned(record, 12) : record));
    await pair.open(...forged);
    expect(pair.plaintexts).toEqual(numbered(6));
    expect(pair.openFaults.map(({ code }) => code)).toEqual(["crypto"]);
  });
});
