import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Bytes, concat } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { decodeFrame } from "#lib/mux";
import { DrivenClock } from "#support/driven-clock";
import { frames } from "#support/frames";
import { muxPair } from "#support/mux-pair";

const octets = (lengths: fc.IntArrayConstraints = {}) =>
  fc.uint8Array(lengths).map((bytes): Bytes => Uint8Array.from(bytes));
const stream = fc.nat({ max: 12 });
const long = fc.oneof(fc.nat({ max: 100_000 }), fc.maxSafeNat());
const code = fc.stringMatching(/^[a-z_]{1,64}$/);
const frame = fc.oneof(
  fc.tuple(stream, octets({ minLength: 16, maxLength: 16 }), long).map((of) => frames.open(...of)),
  fc.tuple(stream, octets({ minLength: 1, maxLength: 5_000 })).map((of) => frames.data(...of)),
  fc.tuple(stream, long, long).map((of) => frames.credit(...of)),
  fc.tuple(stream, long).map((of) => frames.fin(...of)),
  fc.tuple(stream, code).map((of) => frames.reset(...of)),
  fc.tuple(stream, octets({ minLength: 16, maxLength: 16 }), long).map((of) => frames.resume(...of)),
  fc.nat({ max: 3 }).map(frames.ping),
  fc.tuple(fc.nat({ max: 3 }), long).map((of) => frames.pong(...of)),
  fc.tuple(fc.boolean(), code).map((of) => frames.goaway(...of)),
);

/** Ways to go on after `bytes`: some ones, then zeros or letters, enough for the longest frame of its type. */
function* completions(bytes: Bytes): Iterable<Bytes> {
  const room = bytes[0] === 2 ? 65_600 : 120;
  for (const fill of [0x00, 0x61])
    for (let ones = 0; ones <= 70; ones++) {
      const longer = concat(bytes, new Uint8Array(room).fill(fill));
      yield longer.fill(0x01, bytes.length, bytes.length + ones);
    }
}

test("any bytes are a frame, a fault, or the beginning of a frame", () => {
  const beginnings = fc.tuple(fc.nat({ max: 10 }), octets({ maxLength: 80 })).map(([type, rest]) => {
    const start = new Uint8Array([type]);
    return rest.length === 80 ? rest : concat(start, rest);
  });
  const cut = fc.tuple(frame, fc.nat({ max: 40 })).map(([whole, length]) => whole.subarray(0, length));
  fc.assert(
    fc.property(fc.oneof(beginnings, cut), (bytes) => {
      const reading = decodeFrame(bytes, 0);
      if (reading.status === "value") expect(reading.end).toBeLessThanOrEqual(bytes.length);
      if (reading.status === "fault") expect(reading.fault.code).toBe("frame_invalid");
      if (reading.status !== "need") return;
      for (const longer of completions(bytes)) if (decodeFrame(longer, 0).status === "value") return;
      throw new RangeError("asked for more of what can't become a frame");
    }),
    { numRuns: 400 },
  );
});

test("a mux takes any frames, or ends with a fault; it never throws anything else", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(frame, { maxLength: 6 }), { maxLength: 12 }),
      fc.boolean(),
      (records, asInitiator) => {
        const pair = muxPair(new DrivenClock());
        const { mux } = asInitiator ? pair.a : pair.b;
        mux.open();
        try {
          for (const record of records) {
            mux.receive(concat(...record));
            mux.nextRecord();
          }
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          expect(["frame_invalid", "credit_exceeded", "limited"]).toContain(error.code);
        }
        expect(mux.streams).toBeLessThanOrEqual(1_024);
      },
    ),
    { numRuns: 300 },
  );
});
