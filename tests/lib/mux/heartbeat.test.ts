import { describe, expect, test } from "bun:test";
import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { pingIntervalMs, pingTimeoutMs, unackedBytesMin } from "#lib/limits";
import type { Frame } from "#lib/mux";
import { DrivenClock } from "#support/driven-clock";
import { expectFault } from "#support/faults";
import { frames, framesOf } from "#support/frames";
import { firstOf, type MuxPair, muxPair, pattern } from "#support/mux-pair";

const typesOf = (pair: MuxPair, from: "a" | "b") =>
  pair.records.filter((record) => record.from === from).flatMap(({ plaintext }) => framesOf(plaintext).map(typeOf));
const typeOf = ({ type }: Frame) => type;

describe("heartbeat", () => {
  test("a quiet link pings after its interval and stays up on pongs", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    for (let round = 0; round < 20; round++) {
      await clock.advance(pingIntervalMs);
      pair.run();
    }
    expect(pair.a.failures).toEqual([]);
    expect(typesOf(pair, "a").concat(typesOf(pair, "b"))).toContain("pong");
    expect(pair.records.length).toBeLessThanOrEqual(80);
  });

  test("a dead path is noticed within 15 s on both sides", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    for (let seconds = 0; seconds < 15; seconds++) {
      await clock.advance(1_000);
      pair.a.mux.nextRecord();
      pair.b.mux.nextRecord();
    }
    expect(pair.a.failures.map(({ code }) => code)).toEqual(["timeout"]);
    expect(pair.b.failures.map(({ code }) => code)).toEqual(["timeout"]);
  });

  test("bytes that come do not prove the way out: data without a pong is noticed too", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    await pair.a.mux.open().write(pattern(10));
    for (let seconds = 0; seconds < 15; seconds++) {
      await clock.advance(1_000);
      pair.a.mux.nextRecord(); // lost on the way
      pair.a.mux.receive(frames.ping(seconds)); // the way in is alive
    }
    expect(pair.a.failures.map(({ code }) => code)).toEqual(["timeout"]);
  });

  test("a steady trickle in both directions proves nothing: the way out is pinged all the same", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    const stream = pair.a.mux.open();
    for (let ms = 0; ms < 15_000 && pair.a.failures.length === 0; ms += 20) {
      void stream.write(pattern(1)).catch(() => undefined);
      pair.a.mux.nextRecord(); // lost on the way
      pair.a.mux.receive(frames.ping(ms)); // the way in is alive
      await clock.advance(20);
    }
    expect(pair.a.failures.map(({ code }) => code)).toEqual(["timeout"]);
  });

  test("a received byte postpones the next ping", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    const asked = () => framesOf(pair.a.mux.nextRecord() ?? new Uint8Array(0)).some(({ type }) => type === "ping");
    await clock.advance(pingIntervalMs - 1_000);
    pair.a.mux.receive(frames.goaway(false, "draining"));
    await clock.advance(pingIntervalMs - 1_000);
    expect(asked()).toBe(false);
    await clock.advance(1_000);
    expect(asked()).toBe(true);
  });

  test("a process that stood still reads what has come before it gives up", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    await clock.advance(pingIntervalMs);
    pair.step("a");
    const pong = pair.b.mux.nextRecord();
    clock.stall(pingTimeoutMs + 5_000);
    await clock.advance(0);
    expect(pair.a.failures).toEqual([]);
    if (pong !== undefined) pair.a.mux.receive(pong);
    await clock.advance(2_000);
    expect(pair.a.failures).toEqual([]);
  });

  test("round trips are measured", async () => {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    pair.a.mux.ping();
    const ping = pair.a.mux.nextRecord();
    await clock.advance(30);
    pair.b.mux.receive(ping ?? new Uint8Array(0));
    pair.step("b");
    expect(pair.a.mux.roundTrips).toEqual({ lastMs: 30, p50Ms: 30, p99Ms: 30, count: 1 });
  });

  test("a pong that counts what was not sent, or less than its ping, ends the link", async () => {
    for (const received of [0, 1_000_000]) {
      const pair = muxPair(new DrivenClock());
      pair.a.mux.ping();
      const [ping] = framesOf(pair.a.mux.nextRecord() ?? new Uint8Array(0));
      const number = ping?.type === "ping" ? ping.number : 0;
      await expectFault(() => pair.a.mux.receive(frames.pong(number, received)), "frame_invalid");
    }
  });
});

describe("what is under way", () => {
  test("stays under its least while nothing is known about the rate, and has pings in it", async () => {
    const pair = muxPair(new DrivenClock());
    const streams = Array.from({ length: 10 }, () => pair.a.mux.open());
    for (const stream of streams) void stream.write(new Uint8Array(60_000)).catch(() => undefined);
    const records: Bytes[] = [];
    for (let record = pair.a.mux.nextRecord(); record !== undefined; record = pair.a.mux.nextRecord()) {
      records.push(record.slice());
      pair.b.mux.receive(record);
      for (let back = pair.b.mux.nextRecord(); back !== undefined; back = pair.b.mux.nextRecord()) {
        const credit = framesOf(back).filter(({ type }) => type === "credit");
        for (const frame of credit)
          if (frame.type === "credit") pair.a.mux.receive(frames.credit(frame.stream, frame.received, frame.allowed));
      }
    }
    const sent = records.reduce((sum, record) => sum + record.length, 0);
    expect(sent).toBeGreaterThan(unackedBytesMin / 2);
    expect(sent).toBeLessThanOrEqual(unackedBytesMin + 4_096);
    expect(records.flatMap(framesOf).map(typeOf)).toContain("ping");
  });

  /** One link over a line of `bytesPerMs` and `delayMs`, saturated for `runMs`: round trips of its last pings, and rate in the second half. */
  async function saturated(bytesPerMs: number, delayMs: number, runMs: number) {
    const clock = new DrivenClock();
    const pair = muxPair(clock);
    const stream = pair.a.mux.open();
    pair.run();
    const reader = firstOf(pair.b);
    let [freeAt, read, readBefore] = [0, 0, 0];
    const way: { at: number; act: () => void }[] = [];
    const feed = async () => {
      for (;;) await stream.write(new Uint8Array(65_536));
    };
    const drain = async () => {
      for (;;) read += (await reader.read())?.length ?? 0;
    };
    feed().catch(() => undefined);
    drain().catch(() => undefined);
    for (let ms = 0; ms < runMs; ms++) {
      if (ms === runMs / 2) readBefore = read;
      for (let record = pair.a.mux.nextRecord(); record !== undefined; record = pair.a.mux.nextRecord()) {
        const own = record.slice();
        freeAt = Math.max(freeAt, clock.monotonic()) + own.length / bytesPerMs;
        way.push({ at: freeAt + delayMs, act: () => pair.b.mux.receive(own) });
      }
      for (let record = pair.b.mux.nextRecord(); record !== undefined; record = pair.b.mux.nextRecord()) {
        const own = record.slice();
        way.push({ at: clock.monotonic() + delayMs, act: () => pair.a.mux.receive(own) });
      }
      await clock.advance(1);
      const due = way.filter(({ at }) => at <= clock.monotonic());
      for (const item of due) way.splice(way.indexOf(item), 1);
      for (const { act } of due) act();
      await Promise.resolve();
    }
    expect(pair.a.failures).toEqual([]);
    pair.a.mux.end(new Fault("closed"));
    pair.b.mux.end(new Fault("closed"));
    return { ...pair.a.mux.roundTrips, rate: ((read - readBefore) * 2) / runMs };
  }

  test("a slow line (10 Mbit/s) is filled, and a ping waits at most 50 ms more on it", async () => {
    const { p50Ms, rate } = await saturated(1_250, 1, 1_500);
    expect(rate).toBeGreaterThan(1_250 * 0.8);
    expect(p50Ms).toBeLessThanOrEqual(2 + 50);
  });

  test("a long line (100 Mbit/s, 60 ms round trip) is filled too", async () => {
    const { p50Ms, rate } = await saturated(12_500, 30, 3_000);
    expect(rate).toBeGreaterThan(12_500 * 0.8);
    expect(p50Ms).toBeLessThanOrEqual(60 + 55);
  });
});
