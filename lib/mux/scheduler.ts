import type { Bytes } from "#lib/bytes";
import { recordPlaintextBytesMax } from "#lib/limits";
import type { Flight } from "./flight.ts";
import { dataHeaderBytes } from "./frame.ts";
import { FrameWriter, frameBytes } from "./frame-writer.ts";
import type { Stream } from "./stream.ts";

const scratchFromBytes = 16 * 1_024;

type Control = (writer: FrameWriter) => void;

/**
 * Decides what goes into the next record: heartbeats, then control frames in their order, then credit, then data in
 * fair turns (deficit round robin), each followed by its `fin`. Small pieces of many streams share a record, one that
 * has much fills it.
 */
export class Scheduler {
  readonly #flight: Flight;
  readonly #finSaid: (stream: Stream) => void;
  readonly #control: { readonly bytes: number; readonly write: Control }[] = [];
  #controlBytes = 0;
  readonly #credits = new Set<Stream>();
  readonly #turns: Stream[] = [];
  #readyBytes = 0;
  readonly #fins = new Set<Stream>();
  #pong: number | undefined;
  /** Where large records are put together: fresh memory for each costs more than sealing it. */
  #scratch: Bytes | undefined;

  /** `finSaid` is called as the `fin` of a stream goes into a record. */
  constructor(flight: Flight, finSaid: (stream: Stream) => void) {
    this.#flight = flight;
    this.#finSaid = finSaid;
  }

  /** Control frames that wait; the mux bounds them. */
  get controlFrames(): number {
    return this.#control.length;
  }

  /** Answers a ping; pings that wait for an answer are answered by the newest one. */
  pong(number: number): void {
    this.#pong = number;
  }

  open(stream: Stream): void {
    this.#addControl(frameBytes.open, (writer) => writer.open(stream.number, stream.name, stream.window.allowed));
  }

  /** Says where a stream of a former link stands. */
  resume(stream: Stream): void {
    this.#addControl(frameBytes.resume, (writer) => writer.resume(stream.number, stream.name, stream.cameTo));
  }

  /** Says that the `fin` came, for who keeps what it sent until that is said. */
  finCame({ number, cameTo, window }: Stream): void {
    const { allowed } = window;
    this.#addControl(frameBytes.credit, (writer) => writer.credit(number, cameTo, allowed));
  }

  reset(stream: number, code: string): void {
    this.#addControl(frameBytes.reset + code.length, (writer) => writer.reset(stream, code));
  }

  goaway(final: boolean, code: string): void {
    this.#addControl(frameBytes.goaway + code.length, (writer) => writer.goaway(final, code));
  }

  /** The peer should be told the newest credit of this stream. */
  credit(stream: Stream): void {
    this.#credits.add(stream);
  }

  /** Takes note of what a stream could send now. */
  update(stream: Stream): void {
    const ready = stream.over || stream.resuming ? 0 : stream.sending.ready;
    this.#readyBytes += ready - stream.counted;
    stream.counted = ready;
    if (stream.finDue) this.#fins.add(stream);
    if (ready > 0 && !stream.queuedForTurn) {
      stream.queuedForTurn = true;
      this.#turns.push(stream);
    }
  }

  /** Forgets a stream that is over. */
  remove(stream: Stream): void {
    this.#readyBytes -= stream.counted;
    stream.counted = 0;
    this.#credits.delete(stream);
    this.#fins.delete(stream);
    if (!stream.queuedForTurn) return;
    stream.queuedForTurn = false;
    this.#turns.splice(this.#turns.indexOf(stream), 1);
  }

  /**
   * The plaintext of the next record (1 … 65,519 bytes), or undefined when nothing should go now. With `full`, bulk
   * waits until it fills a record: said while earlier records are still being sealed, so that small frames gather.
   * The plaintext is good until the next call.
   */
  next(full: boolean): Bytes | undefined {
    const flight = this.#flight;
    const recordBytes = flight.recordBytes;
    const bulkBytes = this.#bulkBytes(recordBytes, full);
    const ping = flight.pingDue;
    const urgent = ping || this.#pong !== undefined || this.#control.length > 0;
    const patient = this.#credits.size > 0 || this.#fins.size > 0;
    if (bulkBytes === 0 && !urgent && (full || !patient)) return undefined;

    const writer = new FrameWriter(this.#memory(this.#sizeFor(bulkBytes, recordBytes)));
    if (this.#pong !== undefined) writer.pong(this.#pong, flight.receivedBytes);
    this.#pong = undefined;
    const number = ping ? flight.nextPing() : undefined;
    if (number !== undefined) writer.ping(number);
    this.#writeControl(writer);
    // An `open` or `resume` that found no room goes before what is said of its stream.
    if (this.#control.length === 0) this.#writeCredits(writer);
    const sent = this.#control.length > 0 ? 0 : this.#writeTurns(writer, bulkBytes, recordBytes);
    if (this.#control.length === 0) for (const stream of this.#fins) this.#writeFin(writer, stream);
    const record = writer.written();
    flight.sent(record.length, sent, number);
    return record;
  }

  /** Gives back memory that is only of use while there is much to send; true when there was some. */
  rest(): boolean {
    const held = this.#scratch !== undefined;
    this.#scratch = undefined;
    return held;
  }

  /** How much data the next record may hold: none when less than what is worth a record is allowed. */
  #bulkBytes(recordBytes: number, full: boolean): number {
    const wanted = Math.min(this.#readyBytes, recordBytes);
    if (wanted === 0) return 0;
    if (full && wanted < recordBytes) return 0;
    if (this.#flight.budgetBytes >= wanted) return wanted;
    this.#flight.heldBack();
    return 0;
  }

  #sizeFor(bulkBytes: number, recordBytes: number): number {
    const ends = this.#credits.size * frameBytes.credit + (this.#fins.size + this.#turns.length) * frameBytes.fin;
    const control = frameBytes.ping + frameBytes.pong + this.#controlBytes + ends;
    const data = bulkBytes === 0 ? 0 : Math.min(bulkBytes + this.#turns.length * dataHeaderBytes, recordBytes);
    return Math.min(recordPlaintextBytesMax, control + data);
  }

  /** `rest` gives it back. */
  #memory(bytes: number): Bytes {
    if (bytes < scratchFromBytes) return new Uint8Array(bytes);
    if (this.#scratch === undefined || this.#scratch.length < bytes) this.#scratch = new Uint8Array(bytes);
    return this.#scratch.subarray(0, bytes);
  }

  #addControl(bytes: number, write: Control): void {
    this.#control.push({ bytes, write });
    this.#controlBytes += bytes;
  }

  #writeControl(writer: FrameWriter): void {
    let written = 0;
    for (const { bytes, write } of this.#control) {
      if (bytes > writer.roomBytes) break;
      write(writer);
      this.#controlBytes -= bytes;
      written++;
    }
    if (written > 0) this.#control.splice(0, written);
  }

  #writeCredits(writer: FrameWriter): void {
    for (const stream of this.#credits) {
      if (frameBytes.credit > writer.roomBytes) return;
      writer.credit(stream.number, stream.cameTo, stream.window.allowed);
      this.#credits.delete(stream);
    }
  }

  /** Gives turns until the record is full or nobody has more; the data bytes written. */
  #writeTurns(writer: FrameWriter, bulkBytes: number, quantumBytes: number): number {
    let left = bulkBytes;
    while (left > 0 && writer.roomBytes > dataHeaderBytes) {
      const stream = this.#turns[0];
      if (stream === undefined) break;
      if (stream.deficitBytes <= 0) stream.deficitBytes += quantumBytes;
      const length = Math.min(stream.counted, left, stream.deficitBytes, writer.roomBytes - dataHeaderBytes);
      if (length > 0) {
        stream.sending.moveInto(writer.data(stream.number, length));
        stream.deficitBytes -= length;
        left -= length;
        this.update(stream);
        if (stream.finDue) this.#writeFin(writer, stream);
      }
      // Else its turn goes on in the next record.
      if (stream.counted === 0 || stream.deficitBytes <= 0) this.#endTurn(stream);
    }
    return bulkBytes - left;
  }

  #endTurn(stream: Stream): void {
    if (!stream.queuedForTurn) return; // over with its `fin`: forgotten already
    this.#turns.shift();
    stream.queuedForTurn = false;
    if (stream.counted === 0) stream.deficitBytes = 0;
    this.update(stream);
  }

  #writeFin(writer: FrameWriter, stream: Stream): void {
    if (frameBytes.fin > writer.roomBytes) return;
    this.#fins.delete(stream);
    writer.fin(stream.number, stream.sending.sent);
    this.#finSaid(stream);
  }
}
