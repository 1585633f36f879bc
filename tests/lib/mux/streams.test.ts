import { describe, expect, test } from "bun:test";
import { Fault } from "#lib/fault";
import { streamInitialCreditBytes, streamWriteBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/mux";
import { DrivenClock } from "#support/driven-clock";
import { expectFault } from "#support/faults";
import { firstOf, muxPair, pattern, readAll } from "#support/mux-pair";

/** What a stream gives within the carrying of records. */
async function carried<T>(pair: ReturnType<typeof muxPair>, work: Promise<T>): Promise<T> {
  let done = false;
  const watched = work.finally(() => {
    done = true;
  });
  watched.catch(() => undefined);
  for (let round = 0; round < 10_000 && !done; round++) {
    pair.run();
    await Promise.resolve();
  }
  return watched;
}

async function resetCode(work: Promise<unknown>): Promise<unknown> {
  const fault = await expectFault(work, "stream_reset");
  return fault.detail.code;
}

describe("streams", () => {
  test("carry bytes both ways under the name they were opened with", async () => {
    const pair = muxPair(new DrivenClock());
    const name = pattern(16);
    const here = pair.a.mux.open(name);
    await here.write(pattern(100));
    pair.run();
    const there = firstOf(pair.b);
    expect(there.name).toEqual(name);
    expect([here.remote, there.remote]).toEqual([false, true]);
    expect(await there.read()).toEqual(pattern(100));
    await there.write(pattern(50, 3));
    pair.run();
    expect(await here.read()).toEqual(pattern(50, 3));
  });

  test("half-close: one way ends, the other goes on", async () => {
    const pair = muxPair(new DrivenClock());
    const here = pair.a.mux.open();
    await here.write(pattern(10));
    here.end();
    pair.run();
    const there = firstOf(pair.b);
    expect(await readAll(there)).toEqual(pattern(10));
    await there.write(pattern(20));
    pair.run();
    expect(await here.read()).toEqual(pattern(20));
    there.end();
    pair.run();
    expect(await here.read()).toBeNull();
    expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 0]);
  });

  test("end without data reaches the peer", async () => {
    const pair = muxPair(new DrivenClock());
    pair.a.mux.open().end();
    pair.run();
    expect(await firstOf(pair.b).read()).toBeNull();
  });

  test("writing after end is the caller's mistake", async () => {
    const stream = muxPair(new DrivenClock()).a.mux.open();
    stream.end();
    expect(stream.write(pattern(1))).rejects.toBeInstanceOf(TypeError);
  });

  test("a reset tells the other side why, ends both directions and drops what is unread", async () => {
    const pair = muxPair(new DrivenClock());
    const here = pair.a.mux.open();
    await here.write(pattern(10));
    pair.run();
    const there = firstOf(pair.b);
    there.reset("forbidden");
    pair.run();
    expect(await resetCode(here.read())).toBe("forbidden");
    expect(await resetCode(here.write(pattern(1)))).toBe("forbidden");
    expect(await resetCode(there.read())).toBe("forbidden");
    expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 0]);
  });

  test("a reader that waits hears of the reset", async () => {
    const pair = muxPair(new DrivenClock());
    const here = pair.a.mux.open();
    const reading = here.read();
    pair.run();
    firstOf(pair.b).reset("closed");
    pair.run();
    expect(await resetCode(reading)).toBe("closed");
  });

  test("a hundred streams carry what each was given", async () => {
    const pair = muxPair(new DrivenClock());
    const lengths = Array.from({ length: 100 }, (_, index) => index * 37);
    const streams = lengths.map(() => pair.a.mux.open());
    for (const [index, stream] of streams.entries()) {
      void stream.write(pattern(lengths[index] ?? 0, index));
      stream.end();
    }
    pair.run();
    const read = Promise.all(pair.b.opened.map(readAll));
    const got = await carried(pair, read);
    expect(got).toEqual(lengths.map((length, index) => pattern(length, index)));
  });

  test("more than fits credit comes over as the reader takes it", async () => {
    const pair = muxPair(new DrivenClock());
    const stream = pair.a.mux.open();
    const sent = pattern(3_000_000);
    const writing = stream.write(sent);
    stream.end();
    pair.run();
    const got = await carried(pair, readAll(firstOf(pair.b)));
    expect(Buffer.from(got).equals(Buffer.from(sent))).toBe(true);
    await writing;
  });

  test("a write waits while more than its limit is queued", async () => {
    const pair = muxPair(new DrivenClock());
    const stream = pair.a.mux.open();
    await stream.write(new Uint8Array(streamWriteBytesMax));
    let settled = false;
    const waiting = stream.write(new Uint8Array(1)).then(() => {
      settled = true;
    });
    await Promise.resolve();
    expect(settled).toBe(false);
    pair.run();
    await waiting;
  });

  test("two reads at a time are the caller's mistake", async () => {
    const stream = muxPair(new DrivenClock()).a.mux.open();
    const first = stream.read();
    expect(stream.read()).rejects.toBeInstanceOf(TypeError);
    stream.reset("closed");
    expect(await resetCode(first)).toBe("closed");
  });

  test("when the link ends, what had come can still be read, then its fault", async () => {
    const pair = muxPair(new DrivenClock());
    await pair.a.mux.open().write(pattern(10));
    pair.run();
    const there = firstOf(pair.b);
    pair.b.mux.end(new Fault("wire_lost"));
    expect(await there.read()).toEqual(pattern(10));
    await expectFault(there.read(), "wire_lost");
    await expectFault(there.write(pattern(1)), "wire_lost");
    await expectFault(() => pair.b.mux.open(), "wire_lost");
  });

  test("a stream that ended before the link did ends as an end", async () => {
    const pair = muxPair(new DrivenClock());
    const here = pair.a.mux.open();
    await here.write(pattern(10));
    here.end();
    pair.run();
    pair.b.mux.end(new Fault("wire_lost"));
    expect(await readAll(firstOf(pair.b))).toEqual(pattern(10));
  });
});

describe("number of streams", () => {
  test("both sides' streams count; one too many is refused on each side", async () => {
    const pair = muxPair(new DrivenClock(), { streamsMax: 3 });
    pair.a.mux.open();
    pair.a.mux.open();
    pair.b.mux.open();
    pair.run();
    await expectFault(() => pair.a.mux.open(), "limited");
    await expectFault(() => pair.b.mux.open(), "limited");
  });

  test("two that cross are settled by a refusal", async () => {
    const pair = muxPair(new DrivenClock(), { streamsMax: 1 });
    const reads = [pair.a.mux.open(), pair.b.mux.open()].map((stream: MuxStream) => stream.read());
    pair.run();
    const codes = await Promise.all(reads.map(resetCode));
    expect(codes).toEqual(["limited", "limited"]);
  });

  test("a stream that is over makes room", () => {
    const pair = muxPair(new DrivenClock(), { streamsMax: 1 });
    for (let round = 0; round < 5; round++) {
      pair.a.mux.open().reset("closed");
      pair.run();
    }
    expect(pair.b.opened).toHaveLength(5);
    expect(pair.b.mux.streams).toBe(0);
  });

  test("one that both sides ended but nobody read still counts", async () => {
    const pair = muxPair(new DrivenClock(), { streamsMax: 1 });
    const here = pair.a.mux.open();
    await here.write(pattern(10));
    here.end();
    pair.run();
    const there = firstOf(pair.b);
    there.end();
    pair.run();
    expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 1]);
    expect(await readAll(there)).toEqual(pattern(10));
    expect(pair.b.mux.streams).toBe(0);
  });
});

describe("credit", () => {
  test("a new stream may send at least its initial credit before any answer", () => {
    const pair = muxPair(new DrivenClock());
    void pair.a.mux.open().write(new Uint8Array(100_000));
    pair.step("a");
    expect(pair.records[0]?.plaintext.length).toBeGreaterThanOrEqual(streamInitialCreditBytes);
  });

  test("a reader that never reads stops its own stream only, within its window", async () => {
    const pair = muxPair(new DrivenClock());
    const [stuck, moving] = [pair.a.mux.open(), pair.a.mux.open()];
    void stuck.write(new Uint8Array(50_000_000)).catch(() => undefined);
    const sent = pattern(2_000_000);
    void moving.write(sent);
    moving.end();
    pair.run();
    const second = pair.b.opened[1];
    if (second === undefined) throw new RangeError("not opened");
    const got = await carried(pair, readAll(second));
    expect(got.length).toBe(sent.length);
    expect(pair.a.mux.traffic.sentBytes).toBeLessThan(sent.length + 1_200_000);
  });

  test("what a link holds unread for all its streams stays within its credit, and the last one still moves", async () => {
    const creditBytes = 1_024 * 1_024;
    const pair = muxPair(new DrivenClock(), { creditBytes, streamsMax: 100 });
    const streams = Array.from({ length: 99 }, () => pair.a.mux.open());
    for (const stream of streams) void stream.write(new Uint8Array(1_000_000)).catch(() => undefined);
    // Each reader takes a little, which asks for more credit, then stands still.
    let read = 0;
    for (let round = 0; round < 3; round++) {
      pair.run();
      for (const stream of pair.b.opened) read += (await stream.read())?.length ?? 0;
    }
    pair.run();
    const headers = pair.records.filter(({ from }) => from === "a").length * 2_000;
    expect(pair.a.mux.traffic.sentBytes - read).toBeLessThan(creditBytes + headers);
    const last = pair.a.mux.open();
    void last.write(pattern(500_000));
    last.end();
    pair.run();
    const taker = pair.b.opened[99];
    if (taker === undefined) throw new RangeError("not opened");
    expect((await carried(pair, readAll(taker))).length).toBe(500_000);
  });
});

describe("goaway", () => {
  test("nobody opens after it, what is open goes on", async () => {
    const pair = muxPair(new DrivenClock());
    const here = pair.a.mux.open();
    pair.run();
    pair.b.mux.goaway("draining");
    pair.run();
    expect(pair.a.goaways).toEqual([{ code: "draining", final: false }]);
    await expectFault(() => pair.a.mux.open(), "draining");
    await here.write(pattern(5));
    pair.run();
    expect(await firstOf(pair.b).read()).toEqual(pattern(5));
  });

  test("an open that crosses it is refused with a code", async () => {
    const pair = muxPair(new DrivenClock());
    pair.b.mux.goaway("draining");
    const reading = pair.a.mux.open().read();
    pair.run();
    expect(await resetCode(reading)).toBe("draining");
  });
});
