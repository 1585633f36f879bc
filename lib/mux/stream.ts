import type { Bytes } from "#lib/bytes";
import { Fault, type FaultCode } from "#lib/fault";
import type { ReceiveWindow } from "./credit.ts";
import { ReceiveHalf, type StreamSink } from "./receive-half.ts";
import { SendHalf } from "./send-half.ts";
import { type StreamEvent, type StreamState, streamTransitions } from "./stream-state.ts";

/** One flow-controlled byte stream in each direction, inside a channel (PROTOCOL §7). */
export interface MuxStream {
  /** 16 bytes: random, or the well-known name of a session stream. */
  readonly name: Bytes;
  /** Whether the peer opened it. */
  readonly remote: boolean;
  /**
   * The next bytes as they lie there (at least 1), null after the peer's `fin`. Taking them grants the peer credit.
   * One read at a time (else TypeError). Rejects with Fault `stream_reset` (detail `code`: why) after a reset by
   * either side, with the link's fault when the link ended (after what had come before).
   */
  read(): Promise<Bytes | null>;
  /**
   * Instead of reads: all that has come and comes goes to `sink` at once, which grants the peer credit for it. For readers that
   * never make it wait.
   */
  flowInto(sink: StreamSink): void;
  /**
   * Queues bytes, which belong to the stream from here on; resolves once at most `streamWriteBytesMax` wait to leave.
   * Rejects like `read`; TypeError after `end`.
   */
  write(bytes: Bytes): Promise<void>;
  /** Says `fin` after all that was written: the peer reads null then. The other direction stays open. */
  end(): void;
  /** Ends both directions at once, on both sides; what is queued or unread is dropped. No effect once it is over. */
  reset(code: FaultCode): void;
}

/** What a stream needs of its link. */
export interface StreamOwner {
  /** The stream has more to send: data, or a `fin`. */
  wrote(stream: Stream): void;
  /** The reader took bytes. */
  consumed(stream: Stream): void;
  /** A local reset: the peer is to be told. */
  resetting(stream: Stream, code: FaultCode): void;
  /** It may be over with nothing left to read. */
  settled(stream: Stream): void;
}

/** A stream of `Mux`: the public side and the side that frames reach. */
export class Stream implements MuxStream {
  number: number;
  readonly name: Bytes;
  readonly remote: boolean;
  window: ReceiveWindow;
  readonly sending: SendHalf;
  readonly receiving = new ReceiveHalf();
  /** Whether it may go on on another channel to the same peer (PROTOCOL §9). */
  readonly resumable: boolean;
  /** On a new channel: nothing is said on it before the peer has said where it stands. */
  resuming = false;
  /** Since when it has had no channel, monotonic; undefined while it has one. */
  pausedMs: number | undefined;
  /** What the scheduler last counted as ready, and whether it has a turn coming. */
  counted = 0;
  queuedForTurn = false;
  deficitBytes = 0;
  state: StreamState = "open";
  #ending = false;
  #fault: Fault | undefined;
  #owner: StreamOwner;

  constructor(
    number: number,
    name: Bytes,
    remote: boolean,
    window: ReceiveWindow,
    owner: StreamOwner,
    resumable = false,
  ) {
    this.number = number;
    this.name = name;
    this.remote = remote;
    this.window = window;
    this.#owner = owner;
    this.resumable = resumable;
    this.sending = new SendHalf(resumable);
  }

  /** What the peer may be told that came: the bytes, and where they are acknowledged one by one (`resumable`) its `fin`. */
  get cameTo(): number {
    return this.resumable && this.receiving.ended ? this.receiving.received + 1 : this.receiving.received;
  }

  /** Whether nothing of it is needed any more: over, read, and all of it known to be at the peer. */
  get done(): boolean {
    return this.over && this.receiving.unread === 0 && (this.sending.whole || this.#fault !== undefined);
  }

  /** Gives it to another link, or to who keeps it meanwhile. */
  moveTo(owner: StreamOwner): void {
    this.#owner = owner;
    this.counted = 0;
    this.deficitBytes = 0;
  }

  /** The peer stands at `offset` of what is sent here: all behind that goes again. */
  rewind(offset: number): void {
    if (this.sending.rewind(offset)) this.step("say-fin-again");
  }

  /** Whether `fin` is to be said as soon as the queue is empty. */
  get finDue(): boolean {
    if (!this.#ending || this.resuming || this.sending.queued > 0) return false;
    return this.state === "open" || this.state === "got-fin";
  }

  get over(): boolean {
    return this.state === "over";
  }

  async read(): Promise<Bytes | null> {
    const { receiving } = this;
    const before = receiving.consumed;
    const reading = receiving.read();
    if (receiving.consumed !== before) this.#owner.consumed(this);
    return reading;
  }

  flowInto(sink: StreamSink): void {
    const before = this.receiving.consumed;
    this.receiving.flowInto(sink);
    if (this.receiving.consumed !== before) this.#owner.consumed(this);
  }

  write(bytes: Bytes): Promise<void> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    if (this.#ending) return Promise.reject(new TypeError("written after end"));
    const written = this.sending.write(bytes);
    this.#owner.wrote(this);
    return written;
  }

  end(): void {
    if (this.#ending || this.#fault !== undefined) return;
    this.#ending = true;
    this.#owner.wrote(this);
  }

  reset(code: FaultCode): void {
    if (this.over) {
      // Over on the wire, but bytes may lie here that nobody is going to read.
      this.receiving.fail(resetFault("reset here", code), true);
      this.#owner.settled(this);
      return;
    }
    this.fail(resetFault("reset here", code), true);
    this.#owner.resetting(this, code);
  }

  /** Moves through the table; false when the event is not possible now. */
  step(event: StreamEvent): boolean {
    const next = streamTransitions[this.state][event];
    if (next === undefined) return false;
    this.state = next;
    return true;
  }

  /** Ends both halves with `fault`; `discard` also drops what was received and not read. */
  fail(fault: Fault, discard: boolean): void {
    this.state = "over";
    this.#fault ??= fault;
    this.sending.fail(fault);
    this.receiving.fail(fault, discard);
  }
}

/** The fault that readers and writers of a reset stream see; `code` says why. */
export function resetFault(message: string, code: string): Fault {
  return new Fault("stream_reset", message, { detail: { code } });
}
