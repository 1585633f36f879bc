import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { bugs } from "./bugs.ts";
import { type SimWorld, simWorld } from "./sim-world.ts";
import { simulate } from "./simulate.ts";

setDefaultTimeout(120_000);

const seeds = 200;
/** A bug that is switched on shows within so many seeds. */
const seedsForBug = 15;

let world: SimWorld;
beforeAll(async () => {
  world = await simWorld();
});

test(`${seeds} seeds: what arrives is what was sent, in order, once, and everything open gets on after the faults`, async () => {
  const failed: string[] = [];
  const counts = new Map<string, number>();
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await simulate({ world, seed });
    for (const [what, count] of Object.entries(report.counts)) counts.set(what, (counts.get(what) ?? 0) + count);
    if (report.problems.length > 0)
      failed.push(`bun tests/sim/main.ts --from ${seed} --seeds 1: ${report.problems.slice(0, 3).join("; ")}`);
  }
  expect(failed).toEqual([]);
  // A run in which nothing goes wrong shows nothing.
  for (const what of ["cut", "silence", "node", "nexus"])
    expect(counts.get(`fault: ${what}`) ?? 0).toBeGreaterThan(seeds / 20);
  for (const code of ["wire_lost", "timeout", "displaced", "record_order", "crypto"])
    expect(counts.get(`link ended: ${code}`) ?? 0).toBeGreaterThan(seeds / 20);
  expect(counts.get("connection") ?? 0).toBeGreaterThan(seeds * 4);
});

test("a seed repeats its run exactly", async () => {
  for (const seed of [3, 4]) {
    const [first, second] = [await simulate({ world, seed }), await simulate({ world, seed })];
    expect(second).toEqual(first);
  }
  expect((await simulate({ world, seed: 3 })).digest).not.toBe((await simulate({ world, seed: 4 })).digest);
});

describe("a bug that is switched on is found", () => {
  for (const bug of bugs)
    test(bug, async () => {
      for (let seed = 1; seed <= seedsForBug; seed++) {
        const report = await simulate({ world, seed, bug });
        if (report.problems.length > 0) return;
      }
      throw new Error(`${seedsForBug} seeds and nothing seen of it`);
    });
});
