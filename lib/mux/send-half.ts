import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { streamInitialCreditBytes, streamWriteBytesMax } from "#lib/limits";

interface Writer {
  readonly resolve: () => void;
  readonly reject: (fault: Fault) => void;
}

/** What was written to one stream and is not in a record yet, and how far the peer lets it go. */
export class SendHalf {
  /** Bytes handed to records, from the stream's start. */
  sent = 0;
  /** The peer takes bytes up to this offset. */
  allowed = streamInitialCreditBytes;
  /** Bytes the peer said it received: what lies before need not be kept for a resume. */
  acknowledged = 0;
  queued = 0;
  #pieces: Bytes[] = [];
  #writers: Writer[] = [];

  /** What could go into a record now. */
  get ready(): number {
    return Math.min(this.queued, this.allowed - this.sent);
  }

  /** Queues bytes, which belong to the stream from here on; resolves once at most `streamWriteBytesMax` wait. */
  write(bytes: Bytes): Promise<void> {
    if (bytes.length > 0) {
      this.#pieces.push(bytes);
      this.queued += bytes.length;
    }
    if (this.queued <= streamWriteBytesMax) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  /** Moves exactly `target.length` (≤ `ready`) bytes of the queue into `target`. */
  moveInto(target: Bytes): void {
    let at = 0;
    let taken = 0;
    while (at < target.length) {
      const piece = this.#pieces[taken];
      if (piece === undefined) throw new RangeError("more was moved than is queued");
      const room = target.length - at;
      if (piece.length > room) {
        target.set(piece.subarray(0, room), at);
        this.#pieces[taken] = piece.subarray(room);
        at += room;
      } else {
        target.set(piece, at);
        at += piece.length;
        taken++;
      }
    }
    if (taken > 0) this.#pieces.splice(0, taken);
    this.sent += at;
    this.queued -= at;
    if (this.queued <= streamWriteBytesMax && this.#writers.length > 0) this.#release((writer) => writer.resolve());
  }

  /** Drops what is queued; its writers are told. */
  fail(fault: Fault): void {
    this.#pieces = [];
    this.queued = 0;
    this.#release((writer) => writer.reject(fault));
  }

  #release(act: (writer: Writer) => void): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) act(writer);
  }
}
