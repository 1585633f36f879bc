import { describe, expect, test } from "bun:test";
import { type Bytes, equalBytes } from "#lib/bytes";
import type { Fault, FaultCode } from "#lib/fault";
import { linkCreditMax, resumeWithinMs } from "#lib/limits";
import { Mux, type MuxStream, ParkedStreams } from "#lib/mux";
import { random } from "#support/channel-world";
import { DrivenClock } from "#support/driven-clock";
import { frames } from "#support/frames";
import { pattern, readAll } from "#support/mux-pair";

/** One node over several channels to its peer. */
interface Node {
  mux: Mux;
  readonly parked: ParkedStreams;
  readonly opened: MuxStream[];
  refusal: (stream: MuxStream) => FaultCode | undefined;
}

/** Two nodes whose channel the test cuts: what is under way then is lost. */
class Pair {
  readonly clock = new DrivenClock();
  readonly a: Node;
  readonly b: Node;
  #wire: { readonly to: Node; readonly plaintext: Bytes }[] = [];

  constructor() {
    this.a = this.#node(true);
    this.b = this.#node(false);
  }

  #node(initiator: boolean): Node {
    const node: Node = {
      mux: undefined as unknown as Mux, // set below: it refers to the node
      parked: new ParkedStreams(this.clock),
      opened: [],
      refusal: () => undefined,
    };
    node.mux = this.#mux(node, initiator);
    return node;
  }

  #mux(node: Node, initiator: boolean): Mux {
    return new Mux({
      initiator,
      clock: this.clock,
      random,
      events: {
        wake: () => undefined,
        stream: (stream) => void node.opened.push(stream),
        goaway: () => undefined,
        failed: () => undefined,
      },
      resume: {
        held: node.parked.take(),
        resumable: (name) => !equalBytes(name, new Uint8Array(16)),
        refusal: (stream) => node.refusal(stream),
      },
    });
  }

  /** Each side puts at most `records` on the wire; `deliver` of all that is there arrive. */
  step(records: number, deliver: number): boolean {
    let moved = false;
    for (const [from, to] of [
      [this.a, this.b],
      [this.b, this.a],
    ] as const)
      for (let count = 0; count < records; count++) {
        const plaintext = from.mux.nextRecord()?.slice();
        if (plaintext === undefined) break;
        this.#wire.push({ to, plaintext });
        moved = true;
      }
    for (const { to, plaintext } of this.#wire.splice(0, deliver)) {
      to.mux.receive(plaintext);
      moved = true;
    }
    return moved;
  }

  async run(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      quiet = this.step(4, 100) ? 0 : quiet + 1;
      await Promise.resolve(); // readers and writers
    }
  }

  /** The channel is lost with all that is under way. */
  cut(fault: Fault = { code: "wire_lost" } as Fault): void {
    this.#wire = [];
    for (const node of [this.a, this.b]) {
      node.parked.park(node.mux.takeResumable());
      node.mux.end(fault);
    }
  }

  /** Another channel is up; the same side need not have begun it. */
  join(initiator: "a" | "b" = "a"): void {
    this.a.mux = this.#mux(this.a, initiator === "a");
    this.b.mux = this.#mux(this.b, initiator === "b");
  }
}

/** The stream that a node was offered under this name. */
function taken(node: Node, stream: MuxStream): MuxStream {
  const found = node.opened.find(({ name }) => equalBytes(name, stream.name));
  if (found === undefined) throw new RangeError("the stream was not opened");
  return found;
}

async function codeOf(reading: Promise<unknown>): Promise<string> {
  const fault = (await reading.then(
    () => undefined,
    (error) => error,
  )) as Fault | undefined;
  return String(fault?.detail.code ?? fault?.code ?? "none");
}

function seeded(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("a stream over several channels", () => {
  test("gives every byte once, in order, and then the end, whatever is lost with a channel", async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const below = seeded(seed);
      const pair = new Pair();
      const works: Promise<void>[] = [];
      const transfer = (from: MuxStream, to: MuxStream, length: number) => {
        const sent = pattern(length, below(200));
        const write = async () => {
          for (let at = 0; at < length; ) {
            const size = Math.min(length - at, 1 + below(40_000));
            await from.write(sent.slice(at, at + size));
            at += size;
          }
          from.end();
        };
        const read = async () => expect(Buffer.compare(await readAll(to), sent)).toBe(0);
        works.push(write(), read());
      };
      for (let count = 0; count < 3; count++) {
        const [opener, other] = below(2) === 0 ? [pair.a, pair.b] : [pair.b, pair.a];
        const stream = opener.mux.open();
        while (!other.opened.some(({ name }) => equalBytes(name, stream.name))) pair.step(2, 4);
        const there = taken(other, stream);
        transfer(stream, there, below(400_000));
        transfer(there, stream, below(400_000));
      }
      let settled = false;
      const all = Promise.all(works).then(() => {
        settled = true;
      });
      for (let cuts = 0; !settled; ) {
        for (let steps = below(30); steps > 0; steps--) {
          pair.step(1 + below(3), 1 + below(3));
          for (let turn = 0; turn < 5; turn++) await Promise.resolve();
          await pair.clock.advance(1);
        }
        if (cuts++ > 40) {
          await pair.run();
          continue;
        }
        pair.cut();
        await pair.clock.advance(below(500));
        pair.join(below(2) === 0 ? "a" : "b");
      }
      await all;
      await pair.run();
      expect([seed, pair.a.mux.streams, pair.b.mux.streams]).toEqual([seed, 0, 0]);
      expect([pair.a.parked.size, pair.b.parked.size]).toEqual([0, 0]);
    }
  }, 60_000);

  test("whose last bytes and end were lost says them again, though both sides had ended", async () => {
    const pair = new Pair();
    const stream = pair.a.mux.open();
    await pair.run();
    const there = taken(pair.b, stream);
    there.end();
    await pair.run();
    expect(await stream.read()).toBeNull();
    await stream.write(pattern(100));
    stream.end();
    pair.step(4, 0); // said, and under way
    pair.cut();
    pair.join("b");
    await pair.run();
    expect(await readAll(there)).toEqual(pattern(100));
    expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 0]);
  });

  test("that is over at its opener, whose last word was lost, can still be read to its end", async () => {
    for (const gone of ["opens", "time"] as const) {
      const pair = new Pair();
      const stream = pair.a.mux.open();
      await pair.run();
      const there = taken(pair.b, stream);
      await stream.write(pattern(100));
      stream.end();
      await pair.run(); // b has it all, unread, and a knows
      there.end();
      while (pair.a.mux.streams > 0) pair.step(1, 1);
      expect(pair.b.mux.streams).toBe(1); // what a said about b's end is under way
      pair.cut();
      if (gone === "time") await pair.clock.advance(resumeWithinMs);
      pair.join();
      pair.a.mux.open(); // whoever opens something new has said all that goes on
      await pair.run();
      expect(await readAll(there)).toEqual(pattern(100));
    }
  });

  test("is reset after a minute without a channel, at both ends, and not before", async () => {
    const pair = new Pair();
    const stream = pair.a.mux.open();
    await pair.run();
    const codes = Promise.all([codeOf(stream.read()), codeOf(taken(pair.b, stream).read())]);
    pair.cut();
    await pair.clock.advance(resumeWithinMs - 1);
    expect([pair.a.parked.size, pair.b.parked.size]).toEqual([1, 1]);
    await pair.clock.advance(1);
    expect(await codes).toEqual(["timeout", "timeout"]);
    pair.join();
    await pair.run();
    expect([pair.a.mux.streams, pair.b.mux.streams]).toEqual([0, 0]);
  });

  test("that one side gave up meanwhile is reset at the other, whoever opened it", async () => {
    for (const opener of ["a", "b"] as const) {
      const pair = new Pair();
      const other = opener === "a" ? "b" : "a";
      const stream = pair[opener].mux.open();
      await pair.run();
      const there = taken(pair[other], stream);
      pair.cut();
      there.reset("closed");
      const ended = codeOf(stream.read());
      pair.join();
      await pair.run();
      expect(await ended).toBe("not_found");

      const again = pair[opener].mux.open();
      await pair.run();
      const remote = taken(pair[other], again);
      pair.cut();
      again.reset("closed");
      const heard = codeOf(remote.read());
      pair.join();
      pair[opener].mux.open(); // whoever opens something new has said all that goes on
      await pair.run();
      expect(await heard).toBe("not_found");
    }
  });

  test("that may not be opened now is reset with the reason", async () => {
    const pair = new Pair();
    const stream = pair.a.mux.open();
    await pair.run();
    const there = codeOf(taken(pair.b, stream).read());
    const here = codeOf(stream.read());
    pair.b.refusal = () => "forbidden";
    pair.cut();
    pair.join();
    await pair.run();
    expect([await here, await there]).toEqual(["forbidden", "forbidden"]);
  });

  test("that is not said to go on ends with its channel", async () => {
    const pair = new Pair();
    const stream = pair.a.mux.open(new Uint8Array(16));
    await pair.run();
    pair.cut({ code: "wire_lost", detail: {} } as Fault);
    expect(await codeOf(stream.read())).toBe("wire_lost");
    expect(pair.a.parked.size).toBe(0);
  });

  test("keeps what is not acknowledged and no more: a reader that stops bounds it", async () => {
    const pair = new Pair();
    const stream = pair.a.mux.open();
    await pair.run();
    const chunk = 64 * 1_024;
    let written = 0;
    const write = async () => {
      for (;;) {
        await stream.write(new Uint8Array(chunk));
        written += chunk;
      }
    };
    const writing = write().catch(() => undefined);
    for (let rounds = 0; rounds < 50; rounds++) {
      await pair.run();
      pair.cut();
      pair.join();
    }
    expect(written).toBeLessThan(linkCreditMax);
    stream.reset("closed");
    await writing;
  });
});

describe("a hostile peer", () => {
  const resume = (number: number, name: Bytes, next: number) => frames.resume(number, name, next);

  test("that names a stream it never had is refused, and the link goes on", async () => {
    const pair = new Pair();
    pair.b.mux.receive(resume(1, random(16), 0));
    const said = pair.b.mux.nextRecord();
    expect(said?.includes(0x05)).toBe(true); // reset
  });

  test("that needs bytes which were acknowledged, or never sent, has its stream reset", async () => {
    for (const next of [0, 999]) {
      const pair = new Pair();
      const stream = pair.b.mux.open();
      await pair.run();
      stream.write(pattern(200_000)).catch(() => undefined); // reset below
      const reading = readAll(taken(pair.a, stream)).catch(() => undefined);
      await pair.run();
      pair.cut();
      const ended = codeOf(stream.read());
      pair.join("b");
      const asked = pair.b.mux.nextRecord();
      expect(asked?.[0]).toBe(0x06);
      pair.b.mux.receive(resume(1, stream.name, next === 0 ? 0 : 10_000_000));
      expect(await ended).toBe("conflict");
      pair.a.mux.end({ code: "closed" } as Fault);
      await reading;
    }
  });

  test("that answers a resume nobody asked for, or twice, ends the link", async () => {
    const pair = new Pair();
    const stream = pair.b.mux.open();
    await pair.run();
    const number = 2;
    expect(() => pair.b.mux.receive(resume(number, stream.name, 0))).toThrow();
    pair.cut();
    pair.join();
    await pair.run();
    expect(() => pair.b.mux.receive(resume(number, stream.name, 0))).toThrow();
  });
});
