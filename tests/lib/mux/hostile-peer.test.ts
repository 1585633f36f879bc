import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Bytes, concat } from "#lib/bytes";
import type { FaultCode } from "#lib/fault";
import { linkCreditMax, streamsPerLinkMax } from "#lib/limits";
import { DrivenClock } from "#support/driven-clock";
import { expectFault } from "#support/faults";
import { frames, framesOf } from "#support/frames";
import { type MuxPair, muxPair, pattern } from "#support/mux-pair";

setDefaultTimeout(30_000);

const name = (number: number) => pattern(16, number);

/** A responder, and a peer that says what it likes to it. */
function victim(): MuxPair & { says(...said: Bytes[]): void } {
  const pair = muxPair(new DrivenClock());
  return { ...pair, says: (...said) => pair.b.mux.receive(concat(...said)) };
}

const opened = frames.open(1, name(1));
const refused: { readonly what: string; readonly said: Bytes[]; readonly code: FaultCode }[] = [
  { what: "an unknown frame", said: [new Uint8Array([0x0a])], code: "frame_invalid" },
  { what: "a frame cut off by its record", said: [opened.subarray(0, 20)], code: "frame_invalid" },
  { what: "an open under a number of ours", said: [frames.open(2, name(1))], code: "frame_invalid" },
  { what: "an open that skips a number", said: [frames.open(3, name(1))], code: "frame_invalid" },
  { what: "an open under a used number", said: [opened, opened], code: "frame_invalid" },
  { what: "data of a stream that never was", said: [frames.data(7, pattern(1))], code: "frame_invalid" },
  { what: "data of a stream of ours that never was", said: [frames.data(4, pattern(1))], code: "frame_invalid" },
  { what: "credit of a stream that never was", said: [frames.credit(7, 0, 9_999)], code: "frame_invalid" },
  { what: "data after fin", said: [opened, frames.fin(1, 0), frames.data(1, pattern(1))], code: "frame_invalid" },
  { what: "fin twice", said: [opened, frames.fin(1, 0), frames.fin(1, 0)], code: "frame_invalid" },
  { what: "fin at another length", said: [opened, frames.fin(1, 1)], code: "frame_invalid" },
  { what: "credit that goes back", said: [opened, frames.credit(1, 0, 4_095)], code: "frame_invalid" },
  { what: "credit for what was not sent", said: [opened, frames.credit(1, 1, 9_999)], code: "frame_invalid" },
  { what: "a pong without a ping", said: [frames.pong(1, 0)], code: "frame_invalid" },
  {
    what: "more data than allowed",
    said: [opened, ...Array.from({ length: 17 }, () => frames.data(1, pattern(4_096)))],
    code: "credit_exceeded",
  },
];

describe("a hostile peer", () => {
  for (const { what, said, code } of refused)
    test(`${what} ends the link`, async () => {
      const { says } = victim();
      await expectFault(() => says(...said), code);
    });

  test("late frames of a stream that was reset here mean nothing", () => {
    const { b, says } = victim();
    says(opened);
    b.opened[0]?.reset("closed");
    says(frames.data(1, pattern(9)), frames.credit(1, 0, 9_999), frames.fin(1, 9), frames.reset(1, "closed"));
    expect(b.mux.streams).toBe(0);
  });

  test("an unknown reset code is shown as it came", async () => {
    const { b, says } = victim();
    says(opened, frames.reset(1, "from_the_future"));
    const fault = await expectFault(b.opened[0]?.read() ?? Promise.resolve(), "stream_reset");
    expect(fault.detail.code).toBe("from_the_future");
  });

  test("a resume of what is not held is reset", () => {
    const { b, says } = victim();
    says(frames.resume(1, name(1), 100), frames.open(3, name(3)));
    expect(framesOf(b.mux.nextRecord() ?? new Uint8Array(0))).toContainEqual({
      type: "reset",
      stream: 1,
      code: "not_found",
    });
  });

  test("pings that nobody lets us answer are answered once, by the newest number", () => {
    const { b, says } = victim();
    for (let number = 1; number <= 10_000; number++) says(frames.ping(number));
    const pongs = framesOf(b.mux.nextRecord() ?? new Uint8Array(0));
    expect(pongs).toEqual([{ type: "pong", number: 10_000, received: 50_000 }]);
    expect(b.mux.nextRecord()).toBeUndefined();
  });

  test("opens past the limit are refused, and no more refusals wait than a limit", async () => {
    const { b, says } = victim();
    let number = 1;
    const open = () => {
      says(frames.open(number, name(number)));
      number += 2;
    };
    for (let count = 0; count < streamsPerLinkMax + 10; count++) open();
    expect(b.mux.streams).toBe(streamsPerLinkMax);
    await expectFault(() => {
      for (let count = 0; count < 10_000; count++) open();
    }, "limited");
  });

  test("streams opened, answered and reset without end leave nothing behind, also while nothing may be sent", () => {
    const { b, says } = victim();
    let number = 1;
    for (let count = 0; count < 20_000; count++, number += 2) {
      says(frames.open(number, name(number)));
      b.opened
        .pop()
        ?.write(pattern(50))
        .catch(() => undefined); // reset below
      says(frames.reset(number, "closed"));
    }
    expect(b.mux.streams).toBe(0);
    expect(b.mux.idle).toBe(true);
    expect(b.mux.nextRecord()).toBeUndefined();
  });

  test("one-byte frames cost little more than their bytes", () => {
    const { b, says } = victim();
    says(opened);
    const before = process.memoryUsage().rss;
    const record = concat(...Array.from({ length: 5_000 }, () => frames.data(1, pattern(1))));
    for (let count = 0; count < 13; count++) says(record);
    expect(b.mux.traffic.receivedBytes).toBeGreaterThan(500_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1_024 * 1_024);
  });

  test("credit said over all streams never exceeds the link's", () => {
    const { b, says } = victim();
    let said = 0;
    for (let number = 1; number < 2 * streamsPerLinkMax; number += 2) says(frames.open(number, name(number)));
    for (let record = b.mux.nextRecord(); record !== undefined; record = b.mux.nextRecord())
      for (const frame of framesOf(record)) if (frame.type === "credit") said += frame.allowed - 4_096;
    expect(said + streamsPerLinkMax * 4_096).toBeLessThanOrEqual(linkCreditMax);
  });
});
