import { describe, expect, test } from "bun:test";
import { Fault } from "#lib/fault";
import { batchBytes, batchMessagesMax, pushWaitingLaneBytesMax } from "#lib/limits";
import { nextEntryLength } from "../../../control/messages/push/coalesce.ts";
import { LanePublisher, type Queued } from "../../../control/messages/push/lane-publisher.ts";

const lane = { id: 1, customerId: "c", agentId: "a", plugin: "p" };
const item = (id: string, bytes = 10): Queued => ({
  id,
  bodyHash: undefined,
  item: { body: new Uint8Array(bytes) },
  settle: () => undefined,
});
const turns = async (count = 20) => {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
};

describe("an entry", () => {
  test("takes what fits, one larger body alone, an id once", () => {
    expect(nextEntryLength(Array.from({ length: 600 }, (_, index) => item(`${index}`)))).toBe(batchMessagesMax);
    expect(nextEntryLength([item("a", batchBytes * 2), item("b")])).toBe(1);
    expect(nextEntryLength([item("a", batchBytes / 2), item("b", batchBytes / 2)])).toBe(1);
    expect(nextEntryLength([item("a"), item("b"), item("a"), item("c")])).toBe(2);
  });
});

describe("a lane", () => {
  test("goes at once when idle, publishes one at a time in order, and gathers meanwhile", async () => {
    const reserved: string[][] = [];
    const publishing: { ids: string[]; done: () => void }[] = [];
    let idle = 0;
    const publisher = new LanePublisher(
      lane,
      {
        async reserve(_, batch) {
          const ids = batch.map(({ id }) => id);
          reserved.push(ids);
          return () => new Promise<void>((done) => publishing.push({ ids, done }));
        },
      },
      () => {
        idle += 1;
      },
    );
    publisher.push([item("1")]);
    await turns();
    publisher.push([item("2")]);
    publisher.push([item("3")]);
    await turns();
    expect(reserved).toEqual([["1"]]);
    publishing[0]?.done();
    await turns();
    expect(publishing.map(({ ids }) => ids)).toEqual([["1"], ["2", "3"]]);
    const many = Array.from({ length: 64 }, (_, index) => item(`many ${index}`));
    publisher.push(many);
    await turns();
    // Much waits: its rows are written already, but its publish is not begun.
    expect(reserved.at(-1)).toHaveLength(64);
    expect(publishing).toHaveLength(2);
    publishing[1]?.done();
    await turns();
    expect(publishing).toHaveLength(3);
    expect(idle).toBe(0);
    publishing[2]?.done();
    await publisher.drained();
    expect(idle).toBe(1);
  });

  test("holds a share of memory, and one body of any size", () => {
    const publisher = new LanePublisher(lane, { reserve: () => new Promise(() => undefined) }, () => undefined);
    publisher.push([item("1", pushWaitingLaneBytesMax + 1)]);
    expect(() => publisher.push([item("2")])).toThrow(Fault);
  });
});
