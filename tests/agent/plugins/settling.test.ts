import { expect, test } from "bun:test";
import type { FileFacts } from "#lib/runtime";
import { Settling } from "../../../agent/plugins/file/settling.ts";

const file = (sizeBytes: number, modifiedMs = 1): FileFacts => ({
  name: "stock.json",
  kind: "file",
  sizeBytes,
  modifiedMs,
  inode: 1,
});

test("a file is whole once it did not change for its time, counted anew with each change", () => {
  const settling = new Settling(50);
  expect(settling.look([file(3)], 0)).toEqual({ whole: [], againMs: 50 });
  expect(settling.look([file(4, 2)], 40)).toEqual({ whole: [], againMs: 50 });
  expect(settling.look([file(4, 2)], 89).whole).toEqual([]);
  expect(settling.look([file(4, 2)], 90).whole).toEqual([file(4, 2)]);
});

test("an empty file is given longer: its writer may have been stopped between making and filling it", () => {
  const settling = new Settling(50);
  expect(settling.look([file(0)], 0)).toEqual({ whole: [], againMs: 5_000 });
  expect(settling.look([file(0)], 4_999).whole).toEqual([]);
  expect(settling.look([file(11, 2)], 4_999)).toEqual({ whole: [], againMs: 50 });
  expect(settling.look([file(11, 2)], 5_049).whole).toEqual([file(11, 2)]);
  const flag = new Settling(10_000);
  flag.look([file(0)], 0);
  expect(flag.look([file(0)], 9_999).whole).toEqual([]);
  expect(flag.look([file(0)], 10_000).whole).toEqual([file(0)]);
});
