import { describe, expect, test } from "bun:test";
import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { wireBufferedBytesMax, wireMessageBytesMax } from "#lib/limits";
import type { Wire } from "#lib/wire";
import { caught, expectFault } from "#support/faults";
import { pattern } from "#support/mux-pair";

/** Two joined wires, and what is behind them. */
export interface WirePair extends AsyncDisposable {
  readonly a: Wire;
  readonly b: Wire;
}

/** Collects what a wire brings. */
export function listen(wire: Wire): {
  readonly messages: Bytes[];
  readonly ended: Promise<Fault>;
  got(count: number): Promise<Bytes[]>;
} {
  const messages: Bytes[] = [];
  let check: () => void = () => undefined;
  const ended = new Promise<Fault>((resolve) => {
    const message = (message: Bytes) => {
      messages.push(message);
      check();
    };
    wire.receive({ message, closed: resolve });
  });
  const got = (count: number) =>
    new Promise<Bytes[]>((resolve) => {
      check = () => {
        if (messages.length >= count) resolve(messages);
      };
      check();
    });
  return { messages, ended, got };
}

/** What every `Wire` does, whatever is under it (DESIGN §3, §8). */
export function wireContract(name: string, connect: () => Promise<WirePair>): void {
  describe(`wire: ${name}`, () => {
    test("moves whole messages both ways, in order, from the smallest to the largest", async () => {
      await using pair = await connect();
      const lengths = [1, 300, wireMessageBytesMax, 2, 65_535, 3];
      for (const [from, to] of [
        [pair.a, pair.b],
        [pair.b, pair.a],
      ] as const) {
        const heard = listen(to);
        for (const length of lengths) from.send(pattern(length, length));
        const got = await heard.got(lengths.length);
        expect(got.map((message) => message.length)).toEqual(lengths);
        expect(
          got.every((message, index) => Buffer.from(message).equals(pattern(lengths[index] ?? 0, lengths[index]))),
        ).toBe(true);
      }
    });

    test("a message may change once it was sent, and what was received stays", async () => {
      await using pair = await connect();
      const heard = listen(pair.b);
      const buffer = new Uint8Array(65_000);
      for (let value = 0; value < 200; value++) pair.a.send(buffer.fill(value)); // far more than a socket takes at once
      const got = await heard.got(200);
      expect(got.map((message) => [message[0], message[64_999]])).toEqual(got.map((_, value) => [value, value]));
    });

    test("what comes before there is a receiver is handed over first", async () => {
      await using pair = await connect();
      const back = listen(pair.a);
      for (let value = 0; value < 5; value++) pair.a.send(new Uint8Array([value]));
      // Something that came after these has been answered, so they are there.
      pair.b.send(new Uint8Array([9]));
      await back.got(1);
      const got = await listen(pair.b).got(5);
      expect(got.map(([value]) => value)).toEqual([0, 1, 2, 3, 4]);
    });

    test("has one receiver", async () => {
      await using pair = await connect();
      listen(pair.a);
      expect(await caught(() => listen(pair.a).ended)).toBeInstanceOf(TypeError);
    });

    test("a close comes after what was sent, and tells both ends", async () => {
      await using pair = await connect();
      const [here, there] = [listen(pair.a), listen(pair.b)];
      for (let value = 0; value < 10; value++) pair.a.send(new Uint8Array(50_000).fill(value));
      pair.a.close(4_000, "revoked");
      pair.a.close(4_001, "again");
      expect((await here.ended).code).toBe("closed");
      const fault = await there.ended;
      expect(fault.code).toBe("wire_lost");
      expect(fault.detail).toEqual({ code: 4_000, reason: "revoked" });
      expect(there.messages).toHaveLength(10);
      await expectFault(() => pair.a.send(new Uint8Array(1)), "wire_lost");
      await expectFault(() => pair.b.send(new Uint8Array(1)), "wire_lost");
    });

    test("what can't be queued is told and closes the wire, never passed over", async () => {
      await using pair = await connect();
      const here = listen(pair.a);
      const message = new Uint8Array(wireMessageBytesMax);
      const fault = await expectFault(() => {
        for (let sent = 0; sent < 20 * wireBufferedBytesMax; sent += message.length) {
          expect(pair.a.bufferedBytes()).toBeLessThanOrEqual(wireBufferedBytesMax);
          pair.a.send(message);
        }
      }, "wire_lost");
      expect(fault.message).not.toBe("");
      expect((await here.ended).code).toBe("closed");
    });

    test("more than is held before a receiver closes it", async () => {
      await using pair = await connect();
      const here = listen(pair.a);
      for (let count = 0; count < 10; count++) pair.a.send(new Uint8Array(60_000));
      expect((await here.ended).code).toBe("wire_lost");
    });
  });
}
