import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { type Bytes, concat, encodeCbor, uint32 } from "#lib/bytes";
import { Fault, type FaultCode } from "#lib/fault";
import { sessionMessageBytesMax } from "#lib/limits";
import { type MessageStream, type MuxStream, messageStream, webStreams } from "#lib/link";
import { DrivenClock } from "#support/driven-clock";
import { caught, expectFault } from "#support/faults";
import { firstOf, type MuxPair, muxPair, pattern } from "#support/mux-pair";

const ping = z.strictObject({ type: z.literal("ping"), number: z.int().min(0), note: z.string().optional() });
const pong = z.strictObject({ type: z.literal("pong"), body: z.instanceof(Uint8Array) });

/** Carries records until `work` is done. */
async function carried<T>(pair: MuxPair, work: Promise<T>): Promise<T> {
  let done = false;
  work.then(
    () => {
      done = true;
    },
    () => {
      done = true;
    },
  );
  for (let round = 0; round < 20_000 && !done; round++) {
    pair.run();
    await Promise.resolve();
  }
  return work;
}

/** A stream joined to one of the peer's. */
async function joined(): Promise<{ pair: MuxPair; here: MuxStream; there: MuxStream }> {
  const pair = muxPair(new DrivenClock());
  const here = pair.a.mux.open();
  pair.run();
  return { pair, here, there: firstOf(pair.b) };
}

async function received<T>(stream: MessageStream<unknown, T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of stream.receive()) all.push(message);
  return all;
}

function delivered<T>(stream: MessageStream<unknown, T>): Promise<T[]> {
  const all: T[] = [];
  return new Promise((resolve, reject) => {
    let ends = 0;
    stream.deliver({
      message: (message) => void all.push(message),
      ended: (fault) => {
        expect(++ends).toBe(1);
        if (fault === undefined) resolve(all);
        else reject(fault);
      },
    });
  });
}

describe.each([
  ["read", received],
  ["delivered", delivered],
] as const)("a message stream, %s", (_, collected) => {
  test("carries messages of any size, whole and in order, until the end", async () => {
    const { pair, here, there } = await joined();
    const outgoing = messageStream(here, { outgoing: pong, incoming: ping });
    const incoming = messageStream(there, { outgoing: ping, incoming: pong });
    const sizes = [0, 1, 4_090, 4_096, 70_000, 1_500_000, 3];
    const sending = async () => {
      for (const size of sizes) await outgoing.send({ type: "pong", body: pattern(size) });
      outgoing.end();
    };
    const [got] = await carried(pair, Promise.all([collected(incoming), sending()]));
    expect(got.map(({ body }) => body.length)).toEqual(sizes);
    expect(got.every(({ body }, index) => Buffer.from(body).equals(pattern(sizes[index] ?? 0)))).toBe(true);
  });

  test("many small ones share records", async () => {
    const { pair, here, there } = await joined();
    const outgoing = messageStream(here, { outgoing: ping, incoming: ping });
    const before = pair.records.length;
    for (let number = 0; number < 100; number++) await outgoing.send({ type: "ping", number, note: undefined });
    outgoing.end();
    const incoming = messageStream(there, { outgoing: ping, incoming: ping });
    const got = await carried(pair, collected(incoming));
    expect(got.map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, number) => number));
    expect(pair.records.length - before).toBeLessThan(10);
  });

  test("two sends at a time never mix", async () => {
    const { pair, here, there } = await joined();
    const outgoing = messageStream(here, { outgoing: pong, incoming: ping });
    const sends = [300_000, 5, 200_000].map((size) => outgoing.send({ type: "pong", body: pattern(size) }));
    outgoing.end();
    const incoming = messageStream(there, { outgoing: ping, incoming: pong });
    const [got] = await carried(pair, Promise.all([collected(incoming), ...sends]));
    expect(got.map(({ body }) => body.length)).toEqual([300_000, 5, 200_000]);
  });

  test("what does not fit its schema is a bug of the sender, what is too large a fault", async () => {
    const { here } = await joined();
    const outgoing = messageStream(here, { outgoing: ping, incoming: ping });
    expect(await caught(outgoing.send({ type: "ping", number: -1 }))).toBeInstanceOf(TypeError);
    const large = messageStream(here, { outgoing: pong, incoming: ping });
    const body = new Uint8Array(sessionMessageBytesMax);
    await expectFault(large.send({ type: "pong", body }), "too_large");
  });

  const framed = (body: Bytes) => concat(uint32(body.length), body);
  const bad: { what: string; bytes: Bytes; code: FaultCode; end?: boolean }[] = [
    { what: "no CBOR", bytes: framed(new Uint8Array([0xff, 1])), code: "malformed" },
    { what: "an empty one", bytes: uint32(0), code: "malformed" },
    { what: "one of unknown type", bytes: framed(encodeCbor({ type: "other" })), code: "invalid" },
    {
      what: "one with a field too many",
      bytes: framed(encodeCbor({ type: "ping", number: 1, x: 1 })),
      code: "invalid",
    },
    { what: "one that announces too much", bytes: uint32(sessionMessageBytesMax + 1), code: "too_large" },
    { what: "an end inside one", bytes: concat(uint32(10), new Uint8Array(9)), code: "malformed", end: true },
    { what: "an end inside a length", bytes: new Uint8Array([0, 0]), code: "malformed", end: true },
  ];
  for (const { what, bytes, code, end } of bad)
    test(`${what}: the receiver gets ${code}, the sender hears it`, async () => {
      const { pair, here, there } = await joined();
      const incoming = messageStream(there, { outgoing: ping, incoming: ping });
      const receiving = expectFault(carried(pair, collected(incoming)), code);
      await here.write(framed(encodeCbor({ type: "ping", number: 1 })));
      await here.write(bytes);
      if (end) here.end();
      await receiving;
      const reset = await expectFault(carried(pair, here.read()), "stream_reset");
      expect(reset.detail.code).toBe(code);
    });

  test("comes out the same, delivered a byte at a time", async () => {
    const { pair, here, there } = await joined();
    const bytes = concat(
      ...[1, 2, 3].map((number) => framed(encodeCbor({ type: "ping", number, note: "x".repeat(30) }))),
    );
    const incoming = messageStream(there, { outgoing: ping, incoming: ping });
    const sending = async () => {
      for (const byte of bytes) {
        await here.write(new Uint8Array([byte]));
        pair.run();
      }
      here.end();
    };
    const [got] = await carried(pair, Promise.all([collected(incoming), sending()]));
    expect(got.map(({ number }) => number)).toEqual([1, 2, 3]);
  });
});

describe("delivery", () => {
  test("what came before a taker is named is delivered, what comes after it too", async () => {
    const { pair, here, there } = await joined();
    const outgoing = messageStream(here, { outgoing: ping, incoming: ping });
    await outgoing.send({ type: "ping", number: 1 });
    pair.run();
    const numbers: number[] = [];
    messageStream(there, { outgoing: ping, incoming: ping }).deliver({
      message: ({ number }) => void numbers.push(number),
      ended: () => undefined,
    });
    expect(numbers).toEqual([1]);
    await outgoing.send({ type: "ping", number: 2 });
    pair.run();
    expect(numbers).toEqual([1, 2]);
  });

  test("a reset and the link's end are told once", async () => {
    const { pair, here, there } = await joined();
    const faults: (FaultCode | undefined)[] = [];
    messageStream(there, { outgoing: ping, incoming: ping }).deliver({
      message: () => undefined,
      ended: (fault) => void faults.push(fault?.code),
    });
    here.reset("closed");
    pair.run();
    pair.b.mux.end(new Fault("wire_lost"));
    expect(faults).toEqual(["stream_reset"]);
  });

  test("a stream has one reader", async () => {
    const { there } = await joined();
    const sink = { data: () => undefined, ended: () => undefined, failed: () => undefined };
    there.flowInto(sink);
    expect(() => there.flowInto(sink)).toThrow(TypeError);
    expect(await caught(there.read())).toBeInstanceOf(TypeError);
  });
});

describe("as Web Streams", () => {
  test("bytes go through pipes, closing is fin", async () => {
    const { pair, here, there } = await joined();
    const from = new Blob([pattern(300_000)]).stream();
    const piping = from.pipeTo(webStreams(here).writable);
    const got = new Response(webStreams(there).readable as ReadableStream).bytes();
    const [bytes] = await carried(pair, Promise.all([got, piping]));
    expect(Buffer.from(bytes).equals(pattern(300_000))).toBe(true);
  });

  test("cancelling tells the other side, and so does aborting", async () => {
    const cancelled = await joined();
    await webStreams(cancelled.there).readable.cancel();
    await expectFault(carried(cancelled.pair, cancelled.here.read()), "stream_reset");
    const aborted = await joined();
    await webStreams(aborted.here).writable.abort();
    await expectFault(carried(aborted.pair, aborted.there.read()), "stream_reset");
  });
});
