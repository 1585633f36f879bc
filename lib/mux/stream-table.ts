import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { CreditPot, ReceiveWindow } from "./credit.ts";
import { Stream, type StreamOwner } from "./stream.ts";

/** The streams of a link by number: odd ones opened by the channel's initiator, even ones by its responder. */
export class StreamTable {
  readonly #owner: StreamOwner;
  readonly #pot: CreditPot;
  readonly #streamsMax: number;
  readonly #resumable: (name: Bytes) => boolean;
  readonly #streams = new Map<number, Stream>();
  #nextNumber: number;
  #peerNumber: number;

  /** `resumable`: which streams may go on on another link, by name. */
  constructor(
    initiator: boolean,
    owner: StreamOwner,
    {
      creditBytes,
      streamsMax,
      resumable,
    }: { creditBytes: number; streamsMax: number; resumable: (name: Bytes) => boolean },
  ) {
    this.#owner = owner;
    this.#resumable = resumable;
    this.#streamsMax = streamsMax;
    this.#pot = new CreditPot(creditBytes, streamsMax);
    this.#nextNumber = initiator ? 1 : 2;
    this.#peerNumber = initiator ? 0 : -1;
  }

  /** Streams that are open or hold unread bytes. */
  get size(): number {
    return this.#streams.size;
  }

  get full(): boolean {
    return this.#streams.size >= this.#streamsMax;
  }

  /** Whether one has bytes or a `fin` that are not in a record yet. */
  get waiting(): boolean {
    return this.#streams.values().some((stream) => stream.sending.queued > 0 || stream.finDue);
  }

  /** A new stream of this side, under its next number. */
  addOwn(name: Bytes, nowMs: number): Stream {
    const stream = this.#add(this.#nextNumber, name, false, nowMs);
    this.#nextNumber += 2;
    return stream;
  }

  /** A new stream of the peer, under a number that was claimed. */
  addRemote(number: number, name: Bytes, nowMs: number): Stream {
    return this.#add(number, name, true, nowMs);
  }

  /** A stream of a former link, under this side's next number or the one that the peer claimed. */
  addAgain(stream: Stream, nowMs: number, claimed?: number): void {
    const { received, consumed, ended } = stream.receiving;
    stream.number = claimed ?? this.#nextNumber;
    if (claimed === undefined) this.#nextNumber += 2;
    stream.window = ReceiveWindow.at(this.#pot, nowMs, { received, consumed, ended });
    stream.moveTo(this.#owner);
    this.#streams.set(stream.number, stream);
  }

  /** Whether a number is of this side. */
  isOwn(number: number): boolean {
    return number % 2 === this.#nextNumber % 2;
  }

  /** Uses up the peer's next number. Fault `frame_invalid` when it is another: they ascend by 2. */
  claim(number: number): void {
    if (number !== this.#peerNumber + 2) throw new Fault("frame_invalid", "stream numbers ascend by 2");
    this.#peerNumber = number;
  }

  /** A live stream; undefined for one that is over, whose late frames mean nothing. Fault for one that never was. */
  find(number: number): Stream | undefined {
    const stream = this.findHeld(number);
    return stream?.over ? undefined : stream;
  }

  /** The same with those that are over and still held: their end is not known to be at the peer, or they are not read. */
  findHeld(number: number): Stream | undefined {
    const stream = this.#streams.get(number);
    if (stream !== undefined) return stream;
    if (this.isOwn(number) ? number >= this.#nextNumber : number > this.#peerNumber)
      throw new Fault("frame_invalid", "a frame of a stream that was never opened");
    return undefined;
  }

  drop(stream: Stream): void {
    stream.window.release();
    this.#streams.delete(stream.number);
  }

  /** Takes out all that may go on on another link. */
  takeResumable(): Stream[] {
    const taken = [...this.#streams.values()].filter(
      (stream) => stream.resumable && !(stream.over && stream.sending.whole),
    );
    for (const stream of taken) this.drop(stream);
    return taken;
  }

  /** Ends all with `fault`: what was received before can still be read. */
  end(fault: Fault): void {
    for (const stream of this.#streams.values()) stream.fail(fault, false);
    this.#streams.clear();
  }

  #add(number: number, name: Bytes, remote: boolean, nowMs: number): Stream {
    const window = new ReceiveWindow(this.#pot, nowMs);
    const stream = new Stream(number, name, remote, window, this.#owner, this.#resumable(name));
    this.#streams.set(number, stream);
    return stream;
  }
}
