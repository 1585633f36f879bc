import { type Bytes, hex } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { Fault, type FaultCode } from "#lib/fault";
import { resumeWithinMs } from "#lib/limits";
import type { Scheduler } from "./scheduler.ts";
import { resetFault, type Stream, type StreamOwner } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";

export interface ResumptionParts {
  readonly clock: Clock;
  readonly streams: StreamTable;
  readonly scheduler: Scheduler;
  /** Whether a stream that the peer opened before may go on now; the code it is reset with otherwise. */
  readonly refusal: (stream: Stream) => FaultCode | undefined;
  /** Something is to be sent. */
  readonly wake: () => void;
}

/**
 * Brings the streams of a former link to this one (PROTOCOL §9). Who opened a stream says `resume` with its name and the offset
 * it needs next; the peer answers with the same, or resets it. Then each side sends from there on.
 */
export class Resumption {
  readonly #parts: ResumptionParts;
  /** Streams that the peer opened, until it says that they go on. */
  readonly #awaited = new Map<string, Stream>();
  /** Streams of this side, until the peer has answered. */
  readonly #asked = new Set<Stream>();
  #cancel: Cancel = () => undefined;

  constructor(parts: ResumptionParts, held: readonly Stream[]) {
    this.#parts = parts;
    const owner: StreamOwner = {
      wrote: () => undefined,
      consumed: () => undefined,
      resetting: (stream) => this.#awaited.delete(hex(stream.name)),
      settled: (stream) => stream.done && this.#awaited.delete(hex(stream.name)),
    };
    for (const stream of held) {
      if (stream.remote) {
        stream.moveTo(owner);
        this.#awaited.set(hex(stream.name), stream);
      } else this.#ask(stream);
    }
    if (held.length > 0) this.#watch(held);
  }

  /** The peer's `resume` with its next number, which was claimed: true when the stream goes on, else it is to be refused. */
  claimed(number: number, name: Bytes, next: number): FaultCode | undefined {
    const { clock, streams, scheduler, refusal } = this.#parts;
    const stream = this.#awaited.get(hex(name));
    if (stream === undefined) return "not_found";
    this.#awaited.delete(hex(name));
    const code = streams.full ? "limited" : (refusal(stream) ?? refusalOf(stream, next));
    if (code !== undefined) {
      stream.fail(resetFault("it could not go on", code), true);
      return code;
    }
    streams.addAgain(stream, clock.monotonic(), number);
    scheduler.resume(stream);
    this.#goOn(stream, next);
    return undefined;
  }

  /** The peer's answer to a `resume` of this side. Fault `frame_invalid` when none was asked for. */
  answered(number: number, name: Bytes, next: number): void {
    const { streams, scheduler } = this.#parts;
    const stream = streams.findHeld(number);
    if (stream === undefined) return; // reset here meanwhile
    if (!this.#asked.delete(stream) || hex(stream.name) !== hex(name))
      throw new Fault("frame_invalid", "a resume that nobody asked for");
    stream.resuming = false;
    const code = refusalOf(stream, next);
    if (code === undefined) {
      this.#goOn(stream, next);
      return;
    }
    stream.fail(resetFault("it could not go on", code), true);
    scheduler.remove(stream);
    streams.drop(stream);
    scheduler.reset(number, code);
    this.#parts.wake();
  }

  /** The peer opens something new: what it did not say goes on does not. */
  opens(): void {
    this.#giveUp(resetFault("the peer holds it no more", "not_found"));
  }

  /** A stream of the table is gone. */
  forget(stream: Stream): void {
    this.#asked.delete(stream);
  }

  /** Takes out what the peer has not claimed: the link has ended. */
  take(): Stream[] {
    this.#cancel();
    const streams = [...this.#awaited.values()];
    this.#awaited.clear();
    this.#asked.clear();
    return streams;
  }

  #ask(stream: Stream): void {
    const { clock, streams, scheduler } = this.#parts;
    stream.resuming = true;
    streams.addAgain(stream, clock.monotonic());
    this.#asked.add(stream);
    scheduler.resume(stream);
  }

  /** Both know where they stand. */
  #goOn(stream: Stream, next: number): void {
    const { streams, scheduler, wake } = this.#parts;
    stream.pausedMs = undefined;
    stream.rewind(next);
    stream.window.widen();
    scheduler.credit(stream);
    if (stream.done) {
      scheduler.remove(stream);
      streams.drop(stream);
    } else scheduler.update(stream);
    wake();
  }

  /** One that is over was held for the peer alone: what came of it can still be read. */
  #giveUp(fault: Fault): void {
    for (const stream of this.#awaited.values()) if (!stream.over) stream.fail(fault, true);
    this.#awaited.clear();
  }

  #watch(held: readonly Stream[]): void {
    const { clock, streams, scheduler } = this.#parts;
    const now = clock.monotonic();
    const oldest = Math.min(...held.map(({ pausedMs = now }) => pausedMs));
    this.#cancel = clock.after(Math.max(0, Math.ceil(oldest + resumeWithinMs - now)), () => {
      const fault = new Fault("timeout", "the peer did not say in time where it stands");
      this.#giveUp(fault);
      for (const stream of this.#asked) {
        if (!stream.over) stream.fail(fault, true);
        scheduler.remove(stream);
        streams.drop(stream);
        scheduler.reset(stream.number, fault.code);
      }
      this.#asked.clear();
      this.#parts.wake();
    });
  }
}

/** An offset outside what is held can't be sent from. */
function refusalOf({ sending }: Stream, next: number): FaultCode | undefined {
  return next < sending.acknowledged || next > sending.said ? "conflict" : undefined;
}
