import { describe, expect, test } from "bun:test";
import { coarseClock } from "../../gateway/coarse-clock.ts";
import { DrivenClock } from "../support/driven-clock.ts";

describe("coarse clock", () => {
  test("runs what is due, not before its time and at most a quarter of a second late", async () => {
    const driven = new DrivenClock();
    const clock = coarseClock(driven);
    const ran: [number, number][] = [];
    const delays = [1, 250, 999, 1_000, 1_001, 1_249, 5_000, 60_000, 600_000];
    for (const delay of delays) clock.after(delay, () => ran.push([delay, driven.monotonic()]));
    for (let step = 0; step < 7_000; step++) await driven.advance(100);
    expect(ran.map(([delay]) => delay)).toEqual(delays);
    for (const [delay, at] of ran) {
      expect(at).toBeGreaterThanOrEqual(delay);
      expect(at).toBeLessThanOrEqual(delay + 500);
    }
  });

  test("what is cancelled does not run, and the clock comes to rest", async () => {
    const driven = new DrivenClock();
    const clock = coarseClock(driven);
    let ran = 0;
    const cancels = Array.from({ length: 100 }, (_, index) => clock.after(1_000 + index * 10, () => ran++));
    for (const cancel of cancels.slice(1)) cancel();
    cancels[1]?.();
    await driven.advance(5_000);
    expect(ran).toBe(1);
    expect(driven.waiting).toBe(0);
  });

  test("one that runs may cancel another that is due at the same time", async () => {
    const driven = new DrivenClock();
    const clock = coarseClock(driven);
    let ran = 0;
    const cancels: (() => void)[] = [];
    const act = () => {
      ran++;
      for (const cancel of cancels) cancel();
    };
    cancels.push(clock.after(2_000, act), clock.after(2_000, act));
    await driven.advance(5_000);
    expect(ran).toBe(1);
  });

  test("a timer may set another, also after a long rest", async () => {
    const driven = new DrivenClock();
    const clock = coarseClock(driven);
    const ran: number[] = [];
    await driven.advance(10_000_000);
    const again = () => {
      ran.push(driven.monotonic());
      if (ran.length < 3) clock.after(2_000, again);
    };
    clock.after(2_000, again);
    await driven.advance(10_000);
    expect(ran).toHaveLength(3);
  });

  test("many timers cost one of the clock below", () => {
    const driven = new DrivenClock();
    const clock = coarseClock(driven);
    for (let index = 0; index < 10_000; index++) clock.after(5_000 + index, () => undefined);
    expect(driven.waiting).toBe(1);
  });
});
