import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Bytes, readUint64 } from "#lib/bytes";
import { recordBytesMax } from "#lib/channel";
import { nobleSuite, webSuite } from "#lib/crypto";
import { recordGapTimeoutMs, recordPlaintextBytesMax, recordsPerEpoch, recordWindow } from "#lib/limits";
import { numbered, type RecordPair, recordPair } from "#support/record-pair";

setDefaultTimeout(30_000);

const codes = (pair: RecordPair) => pair.openFaults.map(({ code }) => code);

/** The `index`-th record; there must be one. */
function at(records: readonly Bytes[], index: number): Bytes {
  const record = records[index];
  if (record === undefined) throw new RangeError(`no record ${index}`);
  return record;
}

describe("records", () => {
  test("come out in counter order, whatever their size, and open to what went in", async () => {
    const pair = await recordPair();
    const sizes = [recordPlaintextBytesMax, 1, 40_000, 2, 65_000, 3, 17];
    const plaintexts = sizes.map((size, index) => new Uint8Array(size).fill(index));
    const records = await pair.seal(...plaintexts);
    expect(records.map((record) => [record[0], readUint64(record, 1)])).toEqual(
      sizes.map((_, counter) => [2, counter]),
    );
    expect(records.map(({ length }) => length)).toEqual(sizes.map((size) => 9 + size + 16));
    expect(at(records, 0).length).toBe(recordBytesMax);
    await pair.open(...records);
    expect(pair.plaintexts).toEqual(plaintexts);
  });

  test("a plaintext may change once it was handed over", async () => {
    for (const epochRecords of [recordsPerEpoch, 2]) {
      const pair = await recordPair({ epochRecords });
      const buffer = new Uint8Array(2_000);
      for (let value = 0; value < 9; value++) pair.sealer.seal(buffer.fill(value));
      await pair.open(...(await pair.seal(new Uint8Array(1))));
      expect(codes(pair)).toEqual([]);
      await pair.open(...pair.records.slice(0, 9));
      expect(pair.plaintexts.slice(0, 9)).toEqual(
        Array.from({ length: 9 }, (_, value) => new Uint8Array(2_000).fill(value)),
      );
    }
  });

  test("each suite opens what the other has sealed", async () => {
    const web = await recordPair({ suite: webSuite, epochRecords: 4 });
    const noble = await recordPair({ suite: nobleSuite, epochRecords: 4 });
    for (const pair of [web, noble]) {
      await pair.open(...(await pair.seal(...numbered(20))));
      expect(pair.plaintexts).toEqual(numbered(20));
    }
  });

  test("none is empty, none too large", async () => {
    const { sealer } = await recordPair();
    expect(() => sealer.seal(new Uint8Array(0))).toThrow(RangeError);
    expect(() => sealer.seal(new Uint8Array(recordPlaintextBytesMax + 1))).toThrow(RangeError);
  });
});

describe("the window", () => {
  test("puts up to 8 early ones in order", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(9));
    await pair.open(...records.toReversed());
    expect(pair.plaintexts).toEqual(numbered(9));
    expect(codes(pair)).toEqual([]);
  });

  test("one 9 ahead of the next expected closes the channel", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(20));
    await pair.open(at(records, recordWindow + 1));
    expect(codes(pair)).toEqual(["record_order"]);
    expect(pair.plaintexts).toEqual([]);
  });

  test("a repeat closes it, delivered or waiting", async () => {
    const delivered = await recordPair();
    const [first] = await delivered.seal(...numbered(2));
    await delivered.open(first ?? at([], 0), first ?? at([], 0));
    expect(codes(delivered)).toEqual(["record_order"]);
    const waiting = await recordPair();
    const records = await waiting.seal(...numbered(3));
    await waiting.open(at(records, 2), at(records, 2));
    expect(codes(waiting)).toEqual(["record_order"]);
  });

  test("one behind closes it", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(5));
    await pair.open(...records, at(records, 1));
    expect(codes(pair)).toEqual(["record_order"]);
    expect(pair.plaintexts).toEqual(numbered(5));
  });

  test("a dropped record closes it after 1 s, not before", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(5));
    await pair.open(at(records, 0), at(records, 2), at(records, 3));
    await pair.clock.advance(recordGapTimeoutMs - 1);
    expect(codes(pair)).toEqual([]);
    await pair.clock.advance(1);
    expect(codes(pair)).toEqual(["record_order"]);
    expect(pair.plaintexts).toEqual(numbered(1));
  });

  test("a gap that closes in time leaves no deadline behind", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(3));
    await pair.open(at(records, 1));
    await pair.clock.advance(recordGapTimeoutMs - 1);
    await pair.open(at(records, 0));
    await pair.clock.advance(10 * recordGapTimeoutMs);
    await pair.open(at(records, 2));
    expect(codes(pair)).toEqual([]);
    expect(pair.clock.waiting).toBe(0);
  });

  test("a second gap has been open since the record behind it came", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(6));
    await pair.open(at(records, 1), at(records, 3));
    await pair.clock.advance(600);
    await pair.open(at(records, 0));
    await pair.clock.advance(399);
    expect(codes(pair)).toEqual([]);
    await pair.clock.advance(1);
    expect(codes(pair)).toEqual(["record_order"]);
  });

  test("nothing comes after the end", async () => {
    const pair = await recordPair();
    const records = await pair.seal(...numbered(5));
    await pair.open(at(records, 0), at(records, 0), ...records.slice(1));
    expect(pair.plaintexts).toEqual(numbered(1));
    expect(codes(pair)).toHaveLength(1);
  });
});

describe("epochs", () => {
  test("the key changes every so many records, in both pipelines, with records of both epochs under way", async () => {
    for (const epochRecords of [1, 2, 3, 16]) {
      const pair = await recordPair({ epochRecords });
      const records = await pair.seal(...numbered(100));
      await pair.open(...records);
      expect(pair.plaintexts).toEqual(numbered(100));
      expect(codes(pair)).toEqual([]);
    }
  });

  test("records swap places across the change of keys", async () => {
    const pair = await recordPair({ epochRecords: 4 });
    const records = await pair.seal(...numbered(8));
    const order = [0, 1, 2, 4, 5, 3, 6, 7];
    await pair.open(...order.map((index) => at(records, index)));
    expect(pair.plaintexts).toEqual(numbered(8));
  });

  test("a forged record of the next epoch does not move the key; one of a later epoch is refused at once", async () => {
    const forged = await recordPair({ epochRecords: 4 });
    const records = await forged.seal(...numbered(8));
    const copy = at(records, 4).slice();
    copy[20] = (copy[20] ?? 0) ^ 1;
    await forged.open(at(records, 0), copy);
    expect(codes(forged)).toEqual(["crypto"]);
    const later = await recordPair({ epochRecords: 4 });
    await later.open(at(await later.seal(...numbered(9)), 8));
    expect(codes(later)).toEqual(["record_order"]);
  });

  test("a record of an epoch that is over is refused", async () => {
    const pair = await recordPair({ epochRecords: 2 });
    const records = await pair.seal(...numbered(6));
    await pair.open(...records, at(records, 0));
    expect(codes(pair)).toEqual(["record_order"]);
    expect(pair.plaintexts).toHaveLength(6);
  });

  test("the real change, after 65,536 records", async () => {
    const pair = await recordPair();
    let carried = 0;
    for (let from = 0; from < recordsPerEpoch + 200; from += 512) {
      await pair.open(...(await pair.seal(...numbered(512, from))));
      carried += 512;
      pair.records.length = 0;
    }
    expect(codes(pair)).toEqual([]);
    expect(pair.plaintexts.length).toBe(carried);
    expect(pair.plaintexts.at(-1)).toEqual(numbered(1, carried - 1)[0]);
  }, 60_000);
});
