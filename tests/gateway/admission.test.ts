import { describe, expect, test } from "bun:test";
import { AddressLimits } from "../../gateway/tunnel/address-limits.ts";
import { Admission } from "../../gateway/tunnel/admission.ts";
import { Refusals } from "../../gateway/tunnel/refusals.ts";
import { UnknownIdentifiers } from "../../gateway/tunnel/unknown-identifiers.ts";

describe("admission", () => {
  test("lets its rate through, then tells each its place in the queue", () => {
    const admission = new Admission(0, 100);
    const waits = Array.from({ length: 300 }, () => admission.enter(0, 0.5));
    expect(waits.slice(0, 100).every((wait) => wait === 0)).toBe(true);
    expect(waits[100]).toBe(10);
    expect(waits[299]).toBe(2_000);
  });

  test("the place is within 10 % and never above five minutes", () => {
    const admission = new Admission(0, 10);
    for (let index = 0; index < 100_000; index++) admission.enter(0, 0.5);
    expect(admission.enter(0, 1)).toBeLessThanOrEqual(300_000);
    const other = new Admission(0, 1);
    other.enter(0, 0);
    expect(other.enter(0, 0)).toBe(900);
    expect(other.enter(0, 1)).toBe(2_200);
  });

  test("grows while openings are quick and some have to wait", () => {
    const admission = new Admission(0, 100);
    for (let second = 0; second < 10; second++)
      for (let index = 0; index < 2_000; index++)
        if (admission.enter(second * 1_000 + index / 2, 0.5) === 0) admission.completed(20);
    expect(admission.perSecond).toBeGreaterThan(500);
  });

  test("does not grow when nobody waits, falls when openings are slow", () => {
    const admission = new Admission(0, 100);
    for (let index = 0; index < 50; index++) admission.completed(5);
    admission.enter(1_000, 0.5);
    expect(admission.perSecond).toBe(100);
    for (let index = 0; index < 40; index++) admission.completed(3_000);
    admission.enter(2_000, 0.5);
    expect(admission.perSecond).toBe(20);
    admission.completed(60_000);
    admission.enter(3_000, 0.5);
    expect(admission.perSecond).toBe(10);
  });
});

describe("limits per address", () => {
  test("one address spends its own openings only, and gets them back over a minute", () => {
    const limits = new AddressLimits(60, 0);
    const taken = Array.from({ length: 61 }, () => limits.take("a", 0));
    expect(taken.indexOf(false)).toBe(60);
    expect(limits.take("b", 0)).toBe(true);
    expect(limits.take("a", 1_000)).toBe(true);
    expect(limits.take("a", 1_000)).toBe(false);
  });

  test("accepted openings cost nothing", () => {
    const limits = new AddressLimits(1, 0);
    for (let index = 0; index < 100; index++) {
      expect(limits.take("a", 0)).toBe(true);
      limits.giveBack("a", 0);
    }
  });

  test("a flood of addresses shares what is left, and is forgotten", () => {
    const limits = new AddressLimits(60, 0);
    const taken = Array.from({ length: 60_000 }, (_, index) => limits.take(`a${index}`, 0));
    expect(taken.filter((ok) => !ok)).toHaveLength(10_000 - 60);
    limits.sweep(60_000);
    expect(limits.take("later", 60_000)).toBe(true);
  });
});

describe("unknown identifiers", () => {
  test("are remembered for a minute", () => {
    const unknown = new UnknownIdentifiers();
    unknown.add("I1", 0);
    expect(unknown.has("I1", 59_999)).toBe(true);
    expect(unknown.has("I2", 0)).toBe(false);
    expect(unknown.has("I1", 60_000)).toBe(false);
  });

  test("are bounded: the oldest are forgotten", () => {
    const unknown = new UnknownIdentifiers();
    for (let index = 0; index < 20_001; index++) unknown.add(`I${index}`, 0);
    expect(unknown.has("I0", 1)).toBe(false);
    expect(unknown.has("I20000", 1)).toBe(true);
  });
});

describe("refusals", () => {
  test("are counted per address, reason and minute", () => {
    const refusals = new Refusals();
    refusals.count("a", "limited", "I1", 60_001);
    refusals.count("a", "limited", "I2", 60_002);
    refusals.count("a", "audience", null, 60_002);
    refusals.count("a", "limited", "I3", 120_000);
    const taken = refusals.take(10);
    expect(taken).toHaveLength(3);
    expect(taken[0]).toEqual({ address: "a", code: "limited", sub: "I2", minute: 60_000, count: 2 });
    expect(refusals.take(10)).toEqual([]);
  });

  test("what was not delivered is counted on", () => {
    const refusals = new Refusals();
    refusals.count("a", "limited", "I1", 0);
    const taken = refusals.take(10);
    refusals.count("a", "limited", "I1", 1);
    refusals.putBack(taken);
    expect(refusals.take(10).map(({ count }) => count)).toEqual([2]);
  });

  test("a flood of addresses stays bounded and is still counted", () => {
    const refusals = new Refusals();
    for (let index = 0; index < 20_000; index++) refusals.count(`a${index}`, "limited", null, 0);
    const taken = refusals.take(100_000);
    expect(taken.length).toBeLessThanOrEqual(5_001);
    expect(taken.reduce((sum, { count }) => sum + count, 0)).toBe(20_000);
  });
});
