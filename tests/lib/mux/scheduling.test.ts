import { describe, expect, test } from "bun:test";
import { recordPlaintextBytesMax } from "#lib/limits";
import { DrivenClock } from "#support/driven-clock";
import { frames, framesOf } from "#support/frames";
import { firstOf, type MuxPair, muxPair, pattern } from "#support/mux-pair";

/** Data bytes per stream number in the records that `a` sent. */
function sharesOf(records: MuxPair["records"]): Map<number, number> {
  const shares = new Map<number, number>();
  for (const { from, plaintext } of records)
    for (const frame of from === "a" ? framesOf(plaintext) : [])
      if (frame.type === "data") shares.set(frame.stream, (shares.get(frame.stream) ?? 0) + frame.data.length);
  return shares;
}

/** A pair whose path is known to be quick, so that records may be full. */
async function warm(clock: DrivenClock): Promise<MuxPair> {
  const pair = muxPair(clock);
  const stream = pair.a.mux.open();
  void stream.write(new Uint8Array(4_000_000)).catch(() => undefined);
  pair.run();
  const reader = firstOf(pair.b);
  for (let read = 0; read < 4_000_000; pair.run()) read += (await reader.read())?.length ?? 0;
  return pair;
}

describe("records", () => {
  test("many small writes share one", async () => {
    const pair = muxPair(new DrivenClock());
    const streams = Array.from({ length: 50 }, () => pair.a.mux.open());
    for (const stream of streams) for (let count = 0; count < 3; count++) await stream.write(pattern(20));
    pair.step("a");
    expect(pair.a.mux.nextRecord()).toBeUndefined();
    expect([...sharesOf(pair.records).values()]).toEqual(streams.map(() => 60));
  });

  test("big data fills one to its last byte on a quick path", async () => {
    const pair = await warm(new DrivenClock());
    const largest = Math.max(...pair.records.map(({ plaintext }) => plaintext.length));
    expect(largest).toBe(recordPlaintextBytesMax);
  });

  test("while others are being sealed, small data waits for company, a pong does not", async () => {
    const pair = muxPair(new DrivenClock());
    const stream = pair.a.mux.open();
    pair.run();
    await stream.write(pattern(10));
    expect(pair.a.mux.nextRecord(true)).toBeUndefined();
    pair.a.mux.receive(frames.ping(5));
    expect(framesOf(pair.a.mux.nextRecord(true) ?? new Uint8Array(0))[0]?.type).toBe("pong");
    await stream.write(pattern(10));
    expect(framesOf(pair.a.mux.nextRecord() ?? new Uint8Array(0))[0]?.type).toBe("data");
  });

  test("begin with the heartbeat, then control, then data", async () => {
    const pair = muxPair(new DrivenClock());
    const stream = pair.a.mux.open();
    await stream.write(pattern(10));
    stream.end();
    pair.a.mux.receive(frames.ping(5));
    pair.a.mux.ping();
    const types = framesOf(pair.a.mux.nextRecord() ?? new Uint8Array(0)).map(({ type }) => type);
    expect(types).toEqual(["pong", "ping", "open", "data", "fin"]);
  });
});

describe("turns", () => {
  test("streams that have much get alike", async () => {
    const pair = await warm(new DrivenClock());
    const before = pair.records.length;
    const streams = Array.from({ length: 4 }, () => pair.a.mux.open());
    for (const stream of streams) void stream.write(new Uint8Array(60_000)).catch(() => undefined);
    pair.step("a");
    pair.step("a");
    for (let count = 0; count < 3; count++) pair.step("a");
    const shares = [...sharesOf(pair.records.slice(before)).values()];
    expect(shares).toHaveLength(4);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(recordPlaintextBytesMax);
  });

  test("one with little to say is not behind one with much for more than a record", async () => {
    const pair = await warm(new DrivenClock());
    const [bulk, small] = [pair.a.mux.open(), pair.a.mux.open()];
    pair.run();
    void bulk.write(new Uint8Array(10_000_000)).catch(() => undefined);
    pair.step("a");
    const before = pair.records.length;
    await small.write(pattern(10));
    for (let count = 0; count < 2; count++) pair.step("a");
    const number = 5; // the third stream of a: 1, 3, 5
    expect(sharesOf(pair.records.slice(before)).get(number)).toBe(10);
  });
});
