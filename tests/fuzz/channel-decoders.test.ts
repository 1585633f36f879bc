import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Bytes, concat, uint32 } from "#lib/bytes";
import { decodePresentation, decodeRecord, decodeRefusal, encodePresentation, encodeRefusal } from "#lib/channel";
import { Fault, type FaultCode } from "#lib/fault";
import { MessageGatherer } from "../../lib/link/message-gatherer.ts";

const octets = (lengths: fc.IntArrayConstraints = {}) =>
  fc.uint8Array(lengths).map((bytes): Bytes => Uint8Array.from(bytes));

/** What `decode` makes of it; a Fault of these codes is an answer, anything else thrown is not. */
function decoded<T>(decode: () => T, codes: readonly FaultCode[]): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    expect(codes).toContain(error.code);
    return undefined;
  }
}

test("record: any bytes are a record or a fault", () => {
  const like = octets({ maxLength: 80 }).map((bytes) => concat(new Uint8Array([2, 0, 0]), bytes));
  fc.assert(
    fc.property(fc.oneof(octets({ maxLength: 80 }), like), (bytes) => {
      const record = decoded(() => decodeRecord(bytes), ["malformed", "record_order"]);
      if (record !== undefined) expect(record.counter).toBeLessThan(2 ** 48);
    }),
  );
});

test("refusal: any bytes are one that reads back the same, or a fault", () => {
  const like = octets({ maxLength: 40 }).map((bytes) =>
    concat(new Uint8Array([4, 3]), new Uint8Array(3).fill(97), bytes),
  );
  fc.assert(
    fc.property(fc.oneof(octets({ maxLength: 80 }), like), (bytes) => {
      const refusal = decoded(() => decodeRefusal(bytes), ["malformed"]);
      if (refusal !== undefined) expect(encodeRefusal(refusal)).toEqual(bytes);
    }),
  );
});

test("presentation: any bytes are one that reads back the same, or a fault", () => {
  const whole = fc
    .tuple(octets({ maxLength: 50 }), fc.stringMatching(/^[\w.-]{0,20}$/), octets({ maxLength: 50 }))
    .map(([chain, credential, authority]) => encodePresentation({ chain, credential, authority }));
  const turned = fc.tuple(whole, fc.nat(), fc.nat({ max: 255 })).map(([bytes, index, value]) => {
    const copy = bytes.slice();
    copy[index % copy.length] = value;
    return copy;
  });
  fc.assert(
    fc.property(fc.oneof(octets({ maxLength: 80 }), whole, turned), (bytes) => {
      const shown = decoded(() => decodePresentation(bytes), ["malformed"]);
      if (shown !== undefined) expect(encodePresentation(shown)).toEqual(bytes);
    }),
  );
});

test("messages: however their bytes are cut into pieces, the same messages come out", () => {
  fc.assert(
    fc.property(
      fc.array(octets({ minLength: 1, maxLength: 300 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
      (messages, cuts) => {
        const bytes = concat(...messages.map((message) => concat(uint32(message.length), message)));
        const gatherer = new MessageGatherer();
        const got: Bytes[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const length = cuts[turn % cuts.length] ?? 1;
          gatherer.add(bytes.slice(at, at + length));
          at += length;
          for (let message = gatherer.next(); message !== undefined; message = gatherer.next())
            got.push(message.slice());
        }
        gatherer.demandEmpty();
        expect(got).toEqual(messages);
      },
    ),
  );
});
