import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { backOffMs, cutBatch, judge, positionOf, resumePoint, streamLife, takeNumbers } from "#lib/delivery";
import { FAULT_TABLE, Fault, type FaultCode } from "#lib/fault";
import { batchBytes, batchMessagesMax } from "#lib/limits";

describe("positions", () => {
  test("order messages as their entries and their places in them do", () => {
    const place = fc.tuple(fc.nat(2 ** 40), fc.nat(batchMessagesMax - 1));
    fc.assert(
      fc.property(place, place, ([seqA, indexA], [seqB, indexB]) => {
        const order = Math.sign(seqA - seqB) || Math.sign(indexA - indexB);
        expect(Math.sign(positionOf(seqA, indexA) - positionOf(seqB, indexB))).toBe(order);
      }),
    );
  });

  test("nothing outside of an entry has one", () => {
    for (const [seq, index] of [
      [1, -1],
      [1, 1_024],
      [2 ** 45, 0],
      [1.5, 0.25],
    ])
      expect(() => positionOf(seq ?? 0, index ?? 0)).toThrow(RangeError);
  });
});

describe("cutting entries", () => {
  const piece = fc.record({
    bytes: fc.integer({ min: 0, max: 400 * 1024 }),
    messages: fc.integer({ min: 1, max: 600 }),
  });

  test("an entry is as full as it may be, never fuller, and one that is larger goes alone", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 600 }), (pieces) => {
        const count = cutBatch(pieces);
        const sum = (of: readonly { bytes: number; messages: number }[]) => ({
          bytes: of.reduce((total, { bytes }) => total + bytes, 0),
          messages: of.reduce((total, { messages }) => total + messages, 0),
        });
        const fits = (of: { bytes: number; messages: number }) =>
          of.bytes <= batchBytes && of.messages <= batchMessagesMax;
        expect(count === 0).toBe(pieces.length === 0);
        if (count > 1) expect(fits(sum(pieces.slice(0, count)))).toBe(true);
        if (count > 0 && count < pieces.length) expect(fits(sum(pieces.slice(0, count + 1)))).toBe(false);
      }),
    );
  });

  test("cutting again and again takes every piece once, in order", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
        const taken = [];
        for (let rest = pieces; rest.length > 0; rest = rest.slice(cutBatch(rest)))
          taken.push(...rest.slice(0, cutBatch(rest)));
        expect(taken).toEqual(pieces);
      }),
    );
  });

  test("no piece is read behind the first that does not fit", () => {
    let read = 0;
    const pieces = function* () {
      for (;;) {
        read += 1;
        yield { bytes: batchBytes / 4, messages: 1 };
      }
    };
    expect(cutBatch(pieces())).toBe(4);
    expect(read).toBe(5);
  });
});

describe("back-off", () => {
  test("a wait lies between 0 and what its attempt allows, and never above the maximum", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.double({ min: 0, max: 0.999999, noNaN: true }), (attempt, fraction) => {
        const wait = backOffMs(attempt, { firstMs: 100, maxMs: 30_000 }, fraction);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(Math.min(30_000, 100 * 2 ** Math.min(attempt, 20)));
      }),
    );
  });

  test("its bound grows with each attempt until the maximum", () => {
    const bounds = Array.from({ length: 12 }, (_, attempt) => backOffMs(attempt, { firstMs: 100, maxMs: 30_000 }, 1));
    expect(bounds.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(bounds.at(-1)).toBe(30_000);
  });
});

describe("judging a failed call (DESIGN §4)", () => {
  const kindOf = (error: unknown) => judge(error).kind;

  test("an unavailable system spends no try; a refusal does; a surprise waits for a probe; unknown stays unknown", () => {
    expect(kindOf(new Fault("system_unavailable"))).toBe("unavailable");
    expect(kindOf(new Fault("timeout"))).toBe("unavailable");
    expect(kindOf(new Fault("refused"))).toBe("refused");
    expect(kindOf(new Fault("outcome_unknown"))).toBe("unknown");
    expect(kindOf(new Fault("plugin_failed"))).toBe("probe");
    expect(kindOf(new TypeError("a bug in a plugin"))).toBe("probe");
    expect(kindOf("not even an error")).toBe("probe");
  });

  test("every code has a judgement, and a system's own time to wait is kept", () => {
    for (const code of Object.keys(FAULT_TABLE) as FaultCode[])
      expect(["unavailable", "refused", "probe", "unknown"]).toContain(kindOf(new Fault(code)));
    const judged = judge(new Fault("limited", undefined, { detail: { retryAfterMs: 1_234 } }));
    expect(judged).toMatchObject({ kind: "unavailable", retryAfterMs: 1_234 });
  });
});

describe("numbers at ingest", () => {
  interface Sent {
    readonly generation: number;
    readonly first: number;
    readonly count: number;
  }

  test("whatever repeats, reorders or is lost: each number is taken once, in order, and none after a hole", () => {
    const sent = fc.array(
      fc.record({
        generation: fc.integer({ min: 1, max: 3 }),
        first: fc.integer({ min: 0, max: 12 }),
        count: fc.nat(4),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(sent, (entries: Sent[]) => {
        const taken = new Map<number, number[]>();
        let watermark = { generation: 0, number: 0 };
        for (const entry of entries) {
          const taking = takeNumbers(watermark, entry);
          if (taking.take !== "new") continue;
          const numbers = taken.get(entry.generation) ?? [];
          for (let index = taking.skip; index < entry.count; index++) numbers.push(entry.first + index);
          taken.set(entry.generation, numbers);
          expect(taking.watermark.generation).toBeGreaterThanOrEqual(watermark.generation);
          expect(taking.watermark.number).toBe(numbers.at(-1) ?? 0);
          watermark = taking.watermark;
        }
        for (const numbers of taken.values()) expect(numbers).toEqual(numbers.map((_, index) => index + 1));
      }),
    );
  });

  test("a sender that repeats from anywhere at or before its end loses nothing", () => {
    const cuts = fc.array(fc.record({ back: fc.nat(5), count: fc.integer({ min: 1, max: 6 }) }), { maxLength: 40 });
    fc.assert(
      fc.property(cuts, (steps) => {
        let end = 0;
        let watermark = { generation: 1, number: 0 };
        for (const { back, count } of steps) {
          const first = Math.max(1, end + 1 - back);
          const taking = takeNumbers(watermark, { generation: 1, first, count });
          if (taking.take === "new") watermark = taking.watermark;
          end = Math.max(end, first + count - 1);
          expect(watermark.number).toBe(end);
        }
      }),
    );
  });

  test("an older copy is told so; a new generation begins at 1", () => {
    const watermark = { generation: 4, number: 10 };
    expect(takeNumbers(watermark, { generation: 3, first: 11, count: 1 })).toEqual({
      take: "refuse",
      code: "statement_stale",
    });
    expect(takeNumbers(watermark, { generation: 5, first: 11, count: 1 })).toEqual({ take: "refuse", code: "gap" });
    expect(takeNumbers(watermark, { generation: 5, first: 1, count: 2 })).toMatchObject({ take: "new", skip: 0 });
    expect(takeNumbers(watermark, { generation: 4, first: 12, count: 1 })).toEqual({ take: "refuse", code: "gap" });
    expect(takeNumbers(watermark, { generation: 4, first: 12, count: 0 })).toEqual({ take: "ignore" });
  });
});

describe("where a reader resumes", () => {
  const stream = { created: "life", lastSeq: 100 };
  const unique = () => "x";

  test("behind its cursor in the same life; from the start in another, or when the stream lost its end", () => {
    expect(resumePoint(undefined, stream, unique)).toEqual({ created: "life", from: 0 });
    expect(resumePoint({ created: "life", seq: 100 }, stream, unique)).toEqual({ created: "life", from: 100 });
    expect(resumePoint({ created: "other", seq: 5 }, stream, unique)).toEqual({ created: "life", from: 0 });
    expect(resumePoint({ created: "life", seq: 101 }, stream, unique)).toEqual({ created: "life#x", from: 0 });
  });

  test("a lane that began anew resumes under its own text, which still names the stream", () => {
    expect(resumePoint({ created: "life#x", seq: 7 }, stream, unique)).toEqual({ created: "life#x", from: 7 });
    expect(streamLife("life#x")).toBe("life");
    expect(resumePoint({ created: "other#x", seq: 7 }, stream, unique)).toEqual({ created: "life", from: 0 });
  });
});
