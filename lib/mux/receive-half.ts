import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";

interface Reader {
  readonly resolve: (bytes: Bytes | null) => void;
  readonly reject: (fault: Fault) => void;
}

/** Who gets what comes on a stream at once, instead of reads: costs an idle stream nothing but this reference. */
export interface StreamSink {
  /** The next bytes (at least 1). What it throws ends the link. */
  data(bytes: Bytes): void;
  /** The peer's `fin`. */
  ended(): void;
  /** Nothing more comes; not after `ended`. */
  failed(fault: Fault): void;
}

/** Small pieces are gathered in arrays of this size, so that a peer's tiny frames cost no object each. */
const gatherBytes = 4_096;

/**
 * What came on one stream and was not read yet. A piece that is a lesser part of its record is copied, so that an
 * unread byte never keeps 64 KiB alive: memory stays under twice the bytes that credit allows.
 */
export class ReceiveHalf {
  /** Bytes that came, in order, from the stream's start. */
  received = 0;
  /** Bytes that were read. */
  consumed = 0;
  #pieces: Bytes[] = [];
  /** The array behind the last piece, when that piece may grow in it. */
  #gather: Bytes | undefined;
  #reader: Reader | undefined;
  #sink: StreamSink | undefined;
  #ended = false;
  #fault: Fault | undefined;

  /** Whether the peer's `fin` came. */
  get ended(): boolean {
    return this.#ended;
  }

  get unread(): number {
    return this.received - this.consumed;
  }

  /** Adds `data`, a view of a record's plaintext of `recordBytes`. */
  take(data: Bytes, recordBytes: number): void {
    this.received += data.length;
    if (this.#sink !== undefined) {
      this.consumed += data.length;
      this.#sink.data(keepable(data, recordBytes));
      return;
    }
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      this.consumed += data.length;
      reader.resolve(keepable(data, recordBytes));
      return;
    }
    if (data.length >= gatherBytes) {
      this.#gather = undefined;
      this.#pieces.push(keepable(data, recordBytes));
    } else {
      this.#gatherPiece(data);
    }
  }

  /** No more comes: readers get what is there, then null. */
  end(): void {
    this.#ended = true;
    if (this.#pieces.length === 0) this.#settle((reader) => reader.resolve(null));
    this.#takeSink()?.ended();
  }

  /** Nothing more can come; `discard` also drops what is unread. After `end` only a discard has an effect. */
  fail(fault: Fault, discard: boolean): void {
    if (discard) {
      this.#pieces = [];
      this.#gather = undefined;
      this.consumed = this.received;
    } else if (this.#ended) {
      return;
    }
    this.#fault ??= fault;
    this.#settle((reader) => reader.reject(fault));
    this.#takeSink()?.failed(fault);
  }

  /** From here on everything goes to `sink`, first what is there. TypeError when somebody reads. */
  flowInto(sink: StreamSink): void {
    if (this.#sink !== undefined || this.#reader !== undefined) throw new TypeError("a stream has one reader");
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#gather = undefined;
    this.consumed = this.received;
    this.#sink = sink;
    for (const piece of pieces) sink.data(piece);
    if (this.#fault !== undefined) this.#takeSink()?.failed(this.#fault);
    else if (this.#ended) this.#takeSink()?.ended();
  }

  /** The next piece as it lies there (at least 1 byte), null at the end. One read at a time (else TypeError). */
  read(): Promise<Bytes | null> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      if (this.#pieces.length === 0) this.#gather = undefined;
      this.consumed += piece.length;
      return Promise.resolve(piece);
    }
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    if (this.#ended) return Promise.resolve(null);
    if (this.#reader !== undefined || this.#sink !== undefined)
      return Promise.reject(new TypeError("a stream is read by one reader at a time"));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  #gatherPiece(data: Bytes): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && this.#gather !== undefined && last.length + data.length <= this.#gather.length) {
      this.#gather.set(data, last.length);
      this.#pieces[this.#pieces.length - 1] = this.#gather.subarray(0, last.length + data.length);
      return;
    }
    // The first unread piece is likely read before another comes: it gets no room to grow.
    const array = new Uint8Array(last === undefined ? data.length : gatherBytes);
    array.set(data);
    this.#gather = array;
    this.#pieces.push(array.subarray(0, data.length));
  }

  #takeSink(): StreamSink | undefined {
    const sink = this.#sink;
    this.#sink = undefined;
    return sink;
  }

  #settle(act: (reader: Reader) => void): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) act(reader);
  }
}

function keepable(data: Bytes, recordBytes: number): Bytes {
  return data.length * 2 >= recordBytes ? data : data.slice();
}
