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
  /** The `fin` has gone into a record. Where bytes are kept it counts as one more offset, so that it is acknowledged too. */
  finSaid = false;
  readonly #keeps: boolean;
  #pieces: Bytes[] = [];
  /** Sent and not acknowledged yet, where bytes are kept. */
  #kept: Bytes[] = [];
  #writers: Writer[] = [];

  /** `keeps`: what was sent is kept until the peer has said that it received it (PROTOCOL §9). */
  constructor(keeps = false) {
    this.#keeps = keeps;
  }

  /** How far the peer may say that it received. */
  get said(): number {
    return this.#keeps && this.finSaid ? this.sent + 1 : this.sent;
  }

  /** Whether the peer has all, the `fin` included: nothing has to be kept for it. */
  get whole(): boolean {
    return !this.#keeps || (this.finSaid && this.acknowledged > this.sent);
  }

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
        const first = piece.subarray(0, room);
        target.set(first, at);
        if (this.#keeps) this.#kept.push(first);
        this.#pieces[taken] = piece.subarray(room);
        at += room;
      } else {
        target.set(piece, at);
        if (this.#keeps) this.#kept.push(piece);
        at += piece.length;
        taken++;
      }
    }
    if (taken > 0) this.#pieces.splice(0, taken);
    this.sent += at;
    this.queued -= at;
    if (this.queued <= streamWriteBytesMax && this.#writers.length > 0) this.#release((writer) => writer.resolve());
  }

  /** The peer has received up to `offset` (≤ `said`). */
  acknowledge(offset: number): void {
    if (this.#keeps) {
      let rest = Math.min(offset, this.sent) - Math.min(this.acknowledged, this.sent);
      let gone = 0;
      while (rest > 0) {
        const piece = this.#kept[gone];
        if (piece === undefined) throw new RangeError("more is acknowledged than was kept");
        if (piece.length > rest) {
          this.#kept[gone] = piece.subarray(rest);
          break;
        }
        rest -= piece.length;
        gone++;
      }
      if (gone > 0) this.#kept.splice(0, gone);
    }
    this.acknowledged = offset;
  }

  /**
   * On a new channel: all behind `offset` (`acknowledged` … `said`) is sent again, once the peer says how far it may go. True when
   * the `fin` has to be said again.
   */
  rewind(offset: number): boolean {
    this.acknowledge(offset);
    const again = this.#kept;
    this.#kept = [];
    const bytes = again.reduce((sum, { length }) => sum + length, 0);
    this.#pieces = [...again, ...this.#pieces];
    this.queued += bytes;
    this.sent -= bytes;
    this.allowed = this.sent;
    const repeatsFin = this.finSaid && offset <= this.sent + bytes;
    if (repeatsFin) this.finSaid = false;
    return repeatsFin;
  }

  /** Drops what is queued; its writers are told. */
  fail(fault: Fault): void {
    this.#pieces = [];
    this.#kept = [];
    this.queued = 0;
    this.#release((writer) => writer.reject(fault));
  }

  #release(act: (writer: Writer) => void): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) act(writer);
  }
}
