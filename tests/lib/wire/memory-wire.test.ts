import { describe, expect, test } from "bun:test";
import { memoryWirePair } from "#lib/wire";
import { DrivenClock } from "#support/driven-clock";
import { listen, wireContract } from "../../contract/wire.ts";

wireContract("in memory", () => {
  const { a, b } = memoryWirePair();
  return Promise.resolve({ a, b, [Symbol.asyncDispose]: () => Promise.resolve() });
});

const byte = (value: number) => new Uint8Array([value]);

describe("a faulty path", () => {
  test("drops, repeats, changes and delays as told, each direction by itself", async () => {
    const clock = new DrivenClock();
    const { a, b } = memoryWirePair({
      clock,
      aToB: (message, index) => {
        if (index === 0) return [];
        if (index === 1) return [{ message }, { message }];
        if (index === 2) return [{ message: byte(99) }];
        return index === 3 ? [{ message, delayMs: 10 }] : [{ message }];
      },
    });
    const [here, there] = [listen(a), listen(b)];
    for (let value = 0; value < 5; value++) a.send(byte(value));
    b.send(byte(7));
    await clock.advance(0);
    expect(there.messages.map(([value]) => value)).toEqual([1, 1, 99, 4]);
    expect(here.messages).toEqual([byte(7)]);
    await clock.advance(10);
    expect(there.messages.at(-1)).toEqual(byte(3));
  });

  test("cut: what is under way is lost, both ends learn it", async () => {
    const { a, b, cut } = memoryWirePair();
    const [here, there] = [listen(a), listen(b)];
    a.send(byte(1));
    cut();
    expect((await here.ended).code).toBe("wire_lost");
    expect((await there.ended).code).toBe("wire_lost");
    expect(there.messages).toEqual([]);
  });

  test("silent: nobody learns anything", async () => {
    const { a, b, silence } = memoryWirePair();
    const there = listen(b);
    silence();
    a.send(byte(1));
    a.close(1_000, "");
    const nothing = await Promise.race([there.ended, new Promise((resolve) => setImmediate(() => resolve("nothing")))]);
    expect(nothing).toBe("nothing");
    expect(there.messages).toEqual([]);
  });
});
