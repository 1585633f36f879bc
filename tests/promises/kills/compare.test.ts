import { describe, expect, test } from "bun:test";
import { compare } from "./compare.ts";

describe("the comparison that promise 1 stands on", () => {
  test("finds nothing where both ends agree", () => {
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 1, 2] })).toEqual([]);
  });

  test("finds what is lost", () => {
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 2] })).toEqual(["1 lost: 1"]);
  });

  test("finds what is there twice", () => {
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 1, 1, 2] })).toEqual(["1 applied twice: 1"]);
  });

  test("finds what came late, also when it came twice", () => {
    expect(compare({ accepted: [0, 1, 2], arrived: [1, 0, 2] })).toEqual(["1 out of order: 0 after 1"]);
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 1, 2, 0] })).toEqual([
      "1 applied twice: 0",
      "1 out of order: 0 after 2",
    ]);
  });

  test("finds what nobody handed over", () => {
    expect(compare({ accepted: [0], arrived: [0, 9] })).toEqual(["1 there and never acknowledged: 9"]);
  });

  test("what is unknown may be there or not, but not twice", () => {
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 2], unknown: [1] })).toEqual([]);
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 1, 2], unknown: [1] })).toEqual([]);
    expect(compare({ accepted: [0, 1, 2], arrived: [0, 1, 1, 2], unknown: [1] })).toEqual(["1 applied twice: 1"]);
  });
});
