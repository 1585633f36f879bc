import { describe, expect, test } from "bun:test";
import type { WireOutcome } from "../../../lib/runtime/database/worker-protocol.ts";
import { WriteQueue } from "../../../lib/runtime/database/write-queue.ts";

const done: WireOutcome = { results: [] };
const set = (sql: string) => [{ sql }];

/** A queue whose commits end when told, and what each of them carried. */
function held() {
  const commits: string[][] = [];
  let release: () => void = () => undefined;
  const queue = new WriteQueue(async (sets) => {
    commits.push(sets.map(([statement]) => statement?.sql ?? ""));
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return sets.map(() => done);
  });
  return { queue, commits, release: () => release() };
}

/** A queue whose commits end at once. */
function open() {
  const commits: string[][] = [];
  const queue = new WriteQueue(async (sets) => {
    commits.push(sets.map(([statement]) => statement?.sql ?? ""));
    return sets.map(() => done);
  });
  return { queue, commits };
}

describe("a set that may go later", () => {
  test("goes with the next one that may not, in its place", async () => {
    const { queue, commits } = open();
    await Promise.all([queue.add(set("a"), true), queue.add(set("b"), true), queue.add(set("c"))]);
    expect(commits).toEqual([["a", "b", "c"]]);
  });

  test("goes by itself when none comes", async () => {
    const { queue, commits } = open();
    await queue.add(set("a"), true);
    expect(commits).toEqual([["a"]]);
  });

  test("is not what a commit under way is followed by", async () => {
    const { queue, commits, release } = held();
    const first = queue.add(set("a"));
    await Promise.resolve();
    const later = queue.add(set("b"), true);
    release();
    await first;
    expect(commits).toEqual([["a"]]);
    const second = queue.add(set("c"));
    await Promise.resolve();
    expect(commits).toEqual([["a"], ["b", "c"]]);
    release();
    expect(await Promise.all([later, second])).toEqual([done, done]);
  });

  test("does not outlive a drain", async () => {
    const { queue, commits } = open();
    const later = queue.add(set("a"), true);
    await queue.drained();
    expect(commits).toEqual([["a"]]);
    await later;
  });
});
