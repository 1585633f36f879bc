import { describe, expect, test } from "bun:test";
import { makeRemembered } from "../../../control/db/index.ts";

/** A clock that stands still until it is set. */
function handClock() {
  const clock = { nowMs: 0, monotonic: () => clock.nowMs };
  return clock;
}

const settings = { forMs: 1_000, max: 2 };

describe("remembered reads", () => {
  test("those who ask at the same time share one read, and so do those who ask while it counts", async () => {
    const clock = handClock();
    const remembered = makeRemembered<number>(clock, settings);
    let reads = 0;
    const read = async () => ++reads;
    const together = await Promise.all([1, 2, 3].map(() => remembered.get("a", read)));
    expect(together).toEqual([1, 1, 1]);
    clock.nowMs = 999;
    expect(await remembered.get("a", read)).toBe(1);
    clock.nowMs = 1_000;
    expect(await remembered.get("a", read)).toBe(2);
  });

  test("a value counts from the beginning of its read", async () => {
    const clock = handClock();
    const remembered = makeRemembered<string>(clock, settings);
    const slow = remembered.get("a", async () => {
      clock.nowMs = 5_000;
      return "old";
    });
    expect(await slow).toBe("old");
    clock.nowMs = 6_000;
    expect(await remembered.get("a", async () => "new")).toBe("new");
  });

  test("what was missing or failed is read again, also by who waited for it", async () => {
    const remembered = makeRemembered<string>(handClock(), settings);
    const missing = Promise.withResolvers<undefined>();
    const first = remembered.get("a", () => missing.promise);
    const second = remembered.get("a", async () => "there now");
    missing.resolve(undefined);
    expect(await first).toBeUndefined();
    expect(await second).toBe("there now");
    const failed = remembered.get("b", async () => {
      throw new RangeError("gone");
    });
    const after = remembered.get("b", async () => "well again");
    await expect(failed).rejects.toThrow("gone");
    expect(await after).toBe("well again");
  });

  test("forgets when told, and when it is full", async () => {
    const remembered = makeRemembered<number>(handClock(), settings);
    let reads = 0;
    const read = async () => ++reads;
    await remembered.get("a", read);
    remembered.forget("a");
    expect(await remembered.get("a", read)).toBe(2);
    await remembered.get("b", read);
    await remembered.get("c", read);
    expect(await remembered.get("a", read)).toBe(5);
  });
});
