import { type Bytes, hex } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { streamCreditBytes, streamWriteBytesMax } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import type { SimProcess } from "./sim-process.ts";
import type { SimTime } from "./sim-time.ts";

const chunkBytesMax = 64 * 1_024;
/** Most connections are small; a few have more to say than one stream's credit. */
const sizesBytes = [100, 100, 5_000, 5_000, 60_000, 60_000, 60_000, 300_000, 300_000, 2_000_000] as const;
/** What may lie between a writer and its reader: the writer's queue and one chunk, and the reader's credit. */
const betweenBytesMax = streamWriteBytesMax + chunkBytesMax + streamCreditBytes;

/** One direction of a connection as the test knows it. */
interface Way {
  readonly salt: number;
  readonly plannedBytes: number;
  writtenBytes: number;
  gotBytes: number;
  /** The writer has said `end`. */
  ended: boolean;
  /** The reader got all, and the end. */
  whole: boolean;
}

/** Why a connection may end early: what the test did to it. */
export type Excuse = "killed" | "reset";

/** Byte `index` of a way: a loss, a repeat or a swap shows. */
const byteAt = (salt: number, index: number) => (salt + index * 7 + (index >> 8) * 13) & 0xff;

/** One connection between the two nodes, from both its ends. */
export class Flow {
  readonly name: string;
  readonly excuses = new Set<Excuse>();
  /** Failures of its ends. */
  readonly #failures: string[] = [];
  /** What is wrong whatever was done to it. */
  readonly #wrong: string[] = [];
  /** Ends that are still at work; those of a killed process don't count. */
  readonly #busy = new Set<SimProcess>();
  readonly #time: SimTime;
  readonly #ways: readonly [Way, Way];
  /** Readers that stand still until the faults are over. */
  #stalled: PromiseWithResolvers<void> | undefined;
  #streams: MuxStream[] = [];

  constructor(time: SimTime, name: string, { mayStall }: { readonly mayStall: boolean }) {
    this.#time = time;
    this.name = name;
    this.#ways = [this.#way(), this.#way()];
    if (mayStall && time.random.integer(0, 4) === 0) this.#stalled = Promise.withResolvers();
  }

  /** Whether all came through, both ways. */
  get whole(): boolean {
    return this.#ways.every((way) => way.whole);
  }

  /** What is wrong with it, once nothing is under way any more. */
  get problems(): readonly string[] {
    const problems = [...this.#wrong];
    if (this.busy) problems.push("hangs");
    if (this.excuses.size > 0 || (this.#unheard && !this.busy)) return problems;
    return this.whole ? problems : [...problems, ...this.#failures, "did not come through"];
  }

  /**
   * Whether its opening was lost on the way: the other end has never seen it, so it can't go on there. An inlet opens another then, for
   * nothing of its client has left it yet.
   */
  get #unheard(): boolean {
    return this.#streams.length === 1 && this.#failures.some((failure) => failure.includes("not_found"));
  }

  /** Whether an end that lives is still at work. */
  get busy(): boolean {
    return [...this.#busy].some((process) => process.alive);
  }

  describe(): string {
    const ways = this.#ways.map(({ plannedBytes, writtenBytes, gotBytes, ended, whole }) =>
      [gotBytes, writtenBytes, plannedBytes, ended ? "ended" : "", whole ? "whole" : ""].join(" "),
    );
    return `${this.name} (got, written, planned: ${ways.join("; ")})`;
  }

  /** Opens it: this end writes the first way and reads the second. */
  begin(stream: MuxStream, process: SimProcess): void {
    this.#serve(stream, process, 0);
  }

  /** The other end has it. */
  take(stream: MuxStream, process: SimProcess): void {
    this.#serve(stream, process, 1);
  }

  /** Ends it early, from either end. */
  reset(): void {
    this.excuses.add("reset");
    this.#time.random.pick([0, 1]) === 0 ? this.#streams[0]?.reset("closed") : this.#streams.at(-1)?.reset("closed");
  }

  /** Those who stood still go on. */
  goOn(): void {
    this.#stalled?.resolve();
    this.#stalled = undefined;
  }

  /** Holds of every way at every moment. */
  check(): string | undefined {
    for (const { gotBytes, writtenBytes } of this.#ways) {
      if (gotBytes > writtenBytes) return `${this.name}: more came than was written`;
      if (writtenBytes - gotBytes > betweenBytesMax) return `${this.name}: a writer is not held up by its reader`;
    }
    return undefined;
  }

  #serve(stream: MuxStream, process: SimProcess, side: 0 | 1): void {
    const [out, back] = side === 0 ? this.#ways : [this.#ways[1], this.#ways[0]];
    this.#streams.push(stream);
    this.#busy.add(process);
    const both = [this.#write(stream, process, out), this.#read(stream, process, back)];
    void Promise.all(both).then(() => this.#busy.delete(process));
  }

  async #write(stream: MuxStream, process: SimProcess, way: Way): Promise<void> {
    const { random } = this.#time;
    try {
      while (way.writtenBytes < way.plannedBytes) {
        const length = Math.min(
          random.integer(1, random.pick([40, 2_000, chunkBytesMax])),
          way.plannedBytes - way.writtenBytes,
        );
        const bytes = new Uint8Array(length);
        for (let index = 0; index < length; index++) bytes[index] = byteAt(way.salt, way.writtenBytes + index);
        way.writtenBytes += length;
        await stream.write(bytes);
        if (random.integer(0, 2) === 0) await process.sleep(random.integer(0, random.pick([5, 400])));
      }
      way.ended = true;
      stream.end();
    } catch (error) {
      this.#failed("writing", error);
    }
  }

  async #read(stream: MuxStream, process: SimProcess, way: Way): Promise<void> {
    const { random } = this.#time;
    const slowMs = random.pick([0, 0, 5, 100]);
    try {
      for (let count = 0; ; count++) {
        if (count === 3) await this.#stalled?.promise;
        const piece = await stream.read();
        if (piece === null) break;
        this.#compare(way, piece);
        if (slowMs > 0 && random.integer(0, 3) === 0) await process.sleep(random.integer(0, slowMs));
      }
      if (!way.ended || way.gotBytes !== way.plannedBytes) this.#wrong.push("an end before the end");
      else way.whole = true;
    } catch (error) {
      this.#failed("reading", error);
    }
  }

  #compare(way: Way, piece: Bytes): void {
    for (let index = 0; index < piece.length; index++) {
      if (piece[index] === byteAt(way.salt, way.gotBytes + index)) continue;
      this.#wrong.push(`byte ${way.gotBytes + index} is another`);
      break;
    }
    way.gotBytes += piece.length;
  }

  #failed(what: string, error: unknown): void {
    if (!(error instanceof Fault)) throw error;
    const { code, message, detail } = error;
    this.#failures.push(`${what} failed: ${code} (${message}) ${JSON.stringify(detail)}`);
  }

  #way(): Way {
    const { random } = this.#time;
    const plannedBytes = random.integer(0, random.pick(sizesBytes));
    return { salt: random.integer(0, 255), plannedBytes, writtenBytes: 0, gotBytes: 0, ended: false, whole: false };
  }
}

/** The key by which both ends find a connection. */
export function nameOf(stream: MuxStream): string {
  return hex(stream.name);
}
