import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "#lib/fault";
import { linkCreditMax } from "#lib/limits";
import type { MuxStream } from "#lib/mux";
import { DrivenClock } from "#support/driven-clock";
import { type MuxEnd, muxPair } from "#support/mux-pair";

setDefaultTimeout(30_000);

/** What the fuzz does to one end; `pick` chooses among its streams. */
type Act =
  | { readonly act: "open" | "goaway" | "ping"; readonly end: "a" | "b" }
  | { readonly act: "write"; readonly end: "a" | "b"; readonly pick: number; readonly length: number }
  | { readonly act: "read" | "end" | "reset"; readonly end: "a" | "b"; readonly pick: number }
  | { readonly act: "carry"; readonly end: "a" | "b"; readonly records: number }
  | { readonly act: "wait"; readonly ms: number };

const end = fc.constantFrom("a" as const, "b" as const);
const pick = fc.nat({ max: 7 });
const acts = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant("open" as const), end }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("ping" as const), end }) },
  {
    weight: 12,
    arbitrary: fc.record({
      act: fc.constant("write" as const),
      end,
      pick,
      length: fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 200_000 })),
    }),
  },
  { weight: 12, arbitrary: fc.record({ act: fc.constant("read" as const), end, pick }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("end" as const), end, pick }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("reset" as const), end, pick }) },
  { weight: 12, arbitrary: fc.record({ act: fc.constant("carry" as const), end, records: fc.nat({ max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("wait" as const), ms: fc.nat({ max: 4_000 }) }) },
) satisfies fc.Arbitrary<Act>;

/** One direction of one stream as the test remembers it. */
interface Way {
  sent: number;
  got: number;
  reading: boolean;
  fin: boolean;
  ended: boolean;
}

class Side {
  readonly streams: MuxStream[] = [];
  /** What went out of this side, by stream name. */
  readonly out = new Map<string, Way>();
  readonly #end: MuxEnd;

  constructor(muxEnd: MuxEnd) {
    this.#end = muxEnd;
  }

  /** Takes over the streams that the peer opened since. */
  adopt(): void {
    for (const stream of this.#end.opened.splice(0)) this.streams.push(stream);
  }

  chosen(index: number): MuxStream | undefined {
    return this.streams.length === 0 ? undefined : this.streams[index % this.streams.length];
  }

  way(stream: MuxStream): Way {
    const key = `${stream.name}`;
    const known = this.out.get(key);
    if (known !== undefined) return known;
    const fresh = { sent: 0, got: 0, reading: false, fin: false, ended: false };
    this.out.set(key, fresh);
    return fresh;
  }
}

/** Byte `index` of every stream: any loss, repeat or swap shows. */
const byteAt = (index: number) => (index * 7 + (index >> 8)) & 0xff;

function write(side: Side, stream: MuxStream, length: number): void {
  const way = side.way(stream);
  if (way.fin) return;
  const bytes = Uint8Array.from({ length }, (_, index) => byteAt(way.sent + index));
  way.sent += length;
  stream.write(bytes).catch(() => undefined); // reset meanwhile
}

/** Reads once if nothing is being read; what comes must go on exactly where the last piece ended. */
async function read(from: Side, stream: MuxStream): Promise<void> {
  const way = from.way(stream);
  if (way.reading) return;
  way.reading = true;
  try {
    const piece = await stream.read();
    if (piece === null) {
      way.ended = true;
      expect(way.got).toBe(way.sent);
      expect(way.fin).toBe(true);
      return;
    }
    for (let index = 0; index < piece.length; index++)
      if (piece[index] !== byteAt(way.got + index)) throw new RangeError(`byte ${way.got + index} is another`);
    way.got += piece.length;
    expect(way.got).toBeLessThanOrEqual(way.sent);
  } catch (error) {
    if (!(error instanceof Fault)) throw error; // reset by either side: what came before was right
  } finally {
    way.reading = false;
  }
}

test("whatever two ends do, what is delivered is a prefix of what was sent, in order, once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 20, maxLength: 250 }), async (script) => {
      const clock = new DrivenClock();
      const pair = muxPair(clock, { streamsMax: 64 });
      const sides = { a: new Side(pair.a), b: new Side(pair.b) };
      const reads: Promise<void>[] = [];
      for (const step of script as Act[]) {
        if (step.act === "wait") {
          await clock.advance(step.ms);
          pair.run(); // else a path this slow would be taken for dead
          continue;
        }
        const [side, other] = step.end === "a" ? [sides.a, sides.b] : [sides.b, sides.a];
        side.adopt();
        if (step.act === "open" && side.streams.length < 8) side.streams.push(pair[step.end].mux.open());
        if (step.act === "ping") pair[step.end].mux.ping();
        if (step.act === "carry") for (let left = step.records; left > 0 && pair.step(step.end); left--);
        const stream = "pick" in step ? side.chosen(step.pick) : undefined;
        if (stream === undefined) continue;
        if (step.act === "write") write(side, stream, step.length);
        if (step.act === "read") reads.push(read(other, stream));
        if (step.act === "end") {
          side.way(stream).fin = true;
          stream.end();
        }
        if (step.act === "reset") stream.reset("closed");
        await Promise.resolve();
      }
      // What is open moves on: both sides end and read everything.
      for (const side of [sides.a, sides.b]) side.adopt();
      pair.run();
      for (const side of [sides.a, sides.b]) side.adopt();
      for (const side of [sides.a, sides.b])
        for (const stream of side.streams) {
          side.way(stream).fin = true;
          stream.end();
        }
      for (let round = 0; round < 400 && pair.a.mux.streams + pair.b.mux.streams > 0; round++) {
        pair.run();
        for (const [side, other] of [[sides.a, sides.b] as const, [sides.b, sides.a] as const])
          for (const stream of side.streams) reads.push(read(other, stream));
        await Promise.resolve();
        await Promise.resolve();
      }
      await Promise.all(reads);
      expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 0]);
      expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
      expect(pair.a.mux.traffic.receivedBytes).toBeLessThan(linkCreditMax * 20);
      for (const { mux } of [pair.a, pair.b]) mux.end(new Fault("closed"));
    }),
    { numRuns: 60 },
  );
}, 60_000);
