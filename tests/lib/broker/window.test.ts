import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Window } from "../../../lib/broker/window.ts";
import { expectFault } from "../../support/faults.ts";

const limits = { unconfirmedMax: 5, unconfirmedBytesMax: 100 };

describe("a reader's window", () => {
  test("whatever is given and confirmed: neither bound is passed, but by one entry alone", () => {
    const steps = fc.array(
      fc.oneof(fc.record({ give: fc.integer({ min: 0, max: 150 }) }), fc.record({ confirm: fc.nat(40) })),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const window = new Window(0, limits);
        let seq = 0;
        let held: { seq: number; size: number }[] = [];
        for (const step of all) {
          if ("give" in step) {
            if (!window.fits(step.give)) continue;
            seq += 1 + (step.give % 3);
            window.add({ seq, size: step.give });
            held.push({ seq, size: step.give });
          } else {
            const through = Math.min(step.confirm, seq);
            const taken = window.confirm(through);
            expect(taken).toEqual(held.filter((one) => one.seq <= through));
            held = held.filter((one) => one.seq > through);
          }
          const bytes = held.reduce((sum, { size }) => sum + size, 0);
          expect(window.room()).toEqual({ count: 5 - held.length, bytes: 100 - bytes });
          if (held.length > 1) expect([held.length <= 5, bytes <= 100]).toEqual([true, true]);
        }
      }),
    );
  });

  test("a confirmation of what was never delivered is refused, a late one is nothing", async () => {
    const window = new Window(10, limits);
    expect(window.confirm(9)).toEqual([]);
    await expectFault(() => window.confirm(11), "bad_request");
    window.add({ seq: 12, size: 1 });
    expect(window.confirm(11)).toEqual([]);
    expect(window.confirm(12).length).toBe(1);
    expect(window.confirm(12)).toEqual([]);
  });
});
