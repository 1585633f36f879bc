import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import { Fault, type FaultCode } from "#lib/fault";
import { linkCreditMax, streamsPerLinkMax } from "#lib/limits";
import { Flight, type RoundTrips } from "./flight.ts";
import { decodeFrame, type Frame, streamNameBytes } from "./frame.ts";
import { Resumption } from "./resumption.ts";
import { Scheduler } from "./scheduler.ts";
import { type MuxStream, resetFault, type Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

/** What a mux tells its link. */
export interface MuxEvents {
  /** Something is to be sent: call `nextRecord` soon. Comes often. */
  wake(): void;
  /** The peer opened a stream. Without a handler it is reset with `not_found`. */
  stream?(stream: MuxStream): void;
  /** The peer takes no new streams, or (`final`) ends the channel; why, as a code that anyone may send. */
  goaway(code: string, final: boolean): void;
  /** The path is dead (Fault `timeout`). */
  failed(fault: Fault): void;
}

export interface MuxOptions {
  /** Which side of the channel this is: it numbers its streams odd (initiator) or even. */
  readonly initiator: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: MuxEvents;
  /** Unread bytes of all streams together; default and at most `linkCreditMax`. */
  readonly creditBytes?: number;
  /** Streams at a time, both sides' together; default `streamsPerLinkMax`. */
  readonly streamsMax?: number;
  /** Streams go on on another channel to the same peer; both sides must say so. Default: they end with this one. */
  readonly resume?: MuxResume;
}

/** How streams outlive their channel (PROTOCOL §9). */
export interface MuxResume {
  /** Those of the channel before. */
  readonly held: readonly Stream[];
  /** Which may go on, by name. */
  resumable(name: Bytes): boolean;
  /** Asked when the peer says that a stream it opened goes on: the code it is reset with when it may not. */
  refusal(stream: MuxStream): FaultCode | undefined;
}

/** Resets that wait to be sent: past them the peer opens faster than it listens, and the link ends (`limited`). */
const controlFramesMax = 4 * streamsPerLinkMax;

/**
 * Many streams over one channel (PROTOCOL §7): plaintexts of records in, plaintexts of records out. Pure: it calls
 * `wake` when there is something to take with `nextRecord`.
 */
export class Mux {
  readonly #streams: StreamTable;
  readonly #options: MuxOptions;
  readonly #events: MuxEvents;
  readonly #flight: Flight;
  readonly #scheduler: Scheduler;
  readonly #resumption: Resumption;
  /** Since a goaway in either direction: nobody opens. */
  #refusing = false;
  #ended: Fault | undefined;

  constructor(options: MuxOptions) {
    this.#options = options;
    this.#events = options.events;
    this.#flight = new Flight(options.clock, options.events.wake, options.events.failed);
    this.#scheduler = new Scheduler(this.#flight, (stream) => this.#finSaid(stream));
    const owner: StreamOwner = {
      wrote: (stream) => this.#changed(stream),
      consumed: (stream) => this.#consumed(stream),
      resetting: (stream, code) => this.#resetHere(stream, code),
      settled: (stream) => this.#dropIfOver(stream),
    };
    const { initiator, clock, resume, creditBytes = linkCreditMax, streamsMax = streamsPerLinkMax } = options;
    const resumable = (name: Bytes) => resume?.resumable(name) ?? false;
    this.#streams = new StreamTable(initiator, owner, { creditBytes, streamsMax, resumable });
    const parts = {
      clock,
      streams: this.#streams,
      scheduler: this.#scheduler,
      refusal: (stream: Stream) => resume?.refusal(stream),
      wake: () => this.#events.wake(),
    };
    this.#resumption = new Resumption(parts, resume?.held ?? []);
  }

  /** Whether all that was written, ended or said has gone into records. */
  get idle(): boolean {
    return this.#scheduler.controlFrames === 0 && !this.#streams.waiting;
  }

  /** Streams that are open or hold unread bytes. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Bytes of plaintext in both directions. */
  get traffic(): { readonly sentBytes: number; readonly receivedBytes: number } {
    return { sentBytes: this.#flight.sentBytes, receivedBytes: this.#flight.receivedBytes };
  }

  get roundTrips(): RoundTrips {
    return this.#flight.stats();
  }

  /**
   * Opens a stream under `name` (16 bytes; random by default; it must not name a live stream). Throws Fault `limited`
   * past the number of streams, `draining` after a goaway, the link's fault once that has ended.
   */
  open(name: Bytes = this.#options.random(streamNameBytes)): MuxStream {
    if (name.length !== streamNameBytes) throw new RangeError("a stream's name has 16 bytes");
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#refusing) throw new Fault("draining", "no stream opens after a goaway");
    if (this.#streams.full) throw new Fault("limited", "too many streams on this link");
    const stream = this.#streams.addOwn(name, this.#options.clock.monotonic());
    stream.window.widen();
    this.#scheduler.open(stream);
    this.#events.wake();
    return stream;
  }

  /**
   * Whether a message of `bytes` beside the channel may go now: those share the path with the records, so they share what may be under way,
   * and a ping never queues behind them for long (DESIGN §8). `wake` tells when it may again.
   */
  roomBeside(bytes: number): boolean {
    const room = this.#flight.roomBeside(bytes);
    if (!room && this.#flight.pingDue) this.#events.wake();
    return room;
  }

  /** Notes a message of `bytes` that went out beside the channel, before any record that is taken from now on. */
  sentBeside(bytes: number): void {
    this.#flight.sent(bytes, bytes, undefined);
    if (this.#flight.pingDue) this.#events.wake();
  }

  /** Notes a message of `bytes` that came beside the channel. */
  receivedBeside(bytes: number): void {
    this.#flight.received(bytes);
  }

  /** Sends a ping with the next record. */
  ping(): void {
    this.#flight.requestPing();
  }

  /** Tells the peer that no new streams are taken, or (`final`) that the channel ends. */
  goaway(code: FaultCode, final = false): void {
    this.#refusing = true;
    this.#scheduler.goaway(final, code);
    this.#events.wake();
  }

  /**
   * Plaintext of the next record (1 … 65,519 bytes, good until the next call), undefined when nothing should go now.
   * With `full`, data waits until it fills a record: to be said while earlier records are still being sealed.
   */
  nextRecord(full = false): Bytes | undefined {
    return this.#ended === undefined ? this.#scheduler.next(full) : undefined;
  }

  /** Gives back memory that is only of use while there is much to send; true when there was some. */
  rest(): boolean {
    return this.#scheduler.rest();
  }

  /** Takes the plaintext of a record. Throws Fault (`frame_invalid`, `credit_exceeded`, `limited`): the link must end. */
  receive(plaintext: Bytes): void {
    this.#flight.received(plaintext.length);
    let at = 0;
    while (at < plaintext.length && this.#ended === undefined) {
      const reading = decodeFrame(plaintext, at);
      if (reading.status === "fault") throw reading.fault;
      if (reading.status === "need") throw new Fault("frame_invalid", "a frame is cut off by its record");
      this.#take(reading.frame, plaintext.length);
      at = reading.end;
    }
  }

  /** Takes out the streams that may go on on another channel; before `end`. */
  takeResumable(): Stream[] {
    const streams = [...this.#streams.takeResumable(), ...this.#resumption.take()];
    for (const stream of streams) this.#scheduler.remove(stream);
    return streams;
  }

  /** Ends every stream with `fault`: what was received before can still be read. */
  end(fault: Fault): void {
    if (this.#ended !== undefined) return;
    this.#ended = fault;
    this.#flight.stop();
    for (const stream of this.#resumption.take()) stream.fail(fault, false);
    this.#streams.end(fault);
  }

  #take(frame: Frame, recordBytes: number): void {
    switch (frame.type) {
      case "open":
        this.#takeOpen(frame.stream, frame.name, frame.allowed);
        break;
      case "data":
        this.#takeData(frame.stream, frame.data, recordBytes);
        break;
      case "credit":
        this.#takeCredit(frame.stream, frame.received, frame.allowed);
        break;
      case "fin":
        this.#takeFin(frame.stream, frame.length);
        break;
      case "reset":
        this.#takeReset(frame.stream, frame.code);
        break;
      case "resume":
        this.#takeResume(frame.stream, frame.name, frame.next);
        break;
      case "ping":
        this.#scheduler.pong(frame.number);
        this.#events.wake();
        break;
      case "pong":
        this.#flight.pong(frame.number, frame.received);
        break;
      case "goaway":
        this.#refusing = true;
        this.#events.goaway(frame.code, frame.final);
        break;
    }
  }

  #takeResume(number: number, name: Bytes, next: number): void {
    if (this.#streams.isOwn(number)) {
      this.#resumption.answered(number, name, next);
      return;
    }
    this.#streams.claim(number);
    const refusal = this.#resumption.claimed(number, name, next);
    if (refusal !== undefined) this.#refuse(number, refusal);
  }

  #takeOpen(number: number, name: Bytes, allowed: number): void {
    this.#streams.claim(number);
    this.#resumption.opens();
    const refusal = this.#refusalOfOpen();
    if (refusal !== undefined) {
      this.#refuse(number, refusal);
      return;
    }
    const stream = this.#streams.addRemote(number, name.slice(), this.#options.clock.monotonic());
    stream.sending.allowed = allowed;
    if (stream.window.widen()) this.#scheduler.credit(stream);
    this.#events.wake();
    this.#events.stream?.(stream);
  }

  #refusalOfOpen(): FaultCode | undefined {
    if (this.#refusing) return "draining";
    if (this.#streams.full) return "limited";
    return this.#events.stream === undefined ? "not_found" : undefined;
  }

  #takeData(number: number, data: Bytes, recordBytes: number): void {
    const stream = this.#streams.find(number);
    if (stream === undefined) return;
    if (!stream.step("hear-data")) throw new Fault("frame_invalid", "data after fin");
    const { receiving, window } = stream;
    if (receiving.received + data.length > window.allowed) throw new Fault("credit_exceeded");
    const before = receiving.consumed;
    receiving.take(data, recordBytes);
    if (receiving.consumed !== before) this.#consumed(stream);
  }

  #takeCredit(number: number, received: number, allowed: number): void {
    const stream = this.#streams.findHeld(number);
    if (stream === undefined || (stream.over && !stream.resumable)) return;
    const { sending } = stream;
    if (stream.resuming || received > sending.said || received < sending.acknowledged || allowed < sending.allowed)
      throw new Fault("frame_invalid", "credit goes back, or acknowledges what was not sent");
    sending.acknowledge(received);
    sending.allowed = allowed;
    if (stream.over) this.#dropIfOver(stream);
    else this.#changed(stream);
  }

  #takeFin(number: number, length: number): void {
    const stream = this.#streams.find(number);
    if (stream === undefined) return;
    if (length !== stream.receiving.received) throw new Fault("frame_invalid", "fin at another length than came");
    if (!stream.step("hear-fin")) throw new Fault("frame_invalid", "fin twice");
    stream.window.close(length);
    stream.receiving.end();
    if (stream.resumable) {
      this.#scheduler.finCame(stream);
      this.#events.wake();
    }
    this.#dropIfOver(stream);
  }

  #takeReset(number: number, code: string): void {
    const stream = this.#streams.findHeld(number);
    if (stream === undefined || (stream.over && !stream.resumable)) return;
    // One that is over and was held for the peer alone: it needs it no more. What came can still be read.
    if (!stream.over) stream.fail(resetFault("reset by the peer", code), true);
    this.#drop(stream);
  }

  #refuse(number: number, code: FaultCode): void {
    if (this.#scheduler.controlFrames >= controlFramesMax)
      throw new Fault("limited", "the peer opens faster than it hears refusals");
    this.#scheduler.reset(number, code);
    this.#events.wake();
  }

  #changed(stream: Stream): void {
    this.#scheduler.update(stream);
    this.#events.wake();
  }

  #consumed(stream: Stream): void {
    if (stream.over) {
      this.#dropIfOver(stream);
      return;
    }
    const { receiving, window, state } = stream;
    const now = this.#options.clock.monotonic();
    const told = window.consume(receiving.consumed, now, this.#flight.roundTripMs);
    if (!told || state === "got-fin") return;
    this.#scheduler.credit(stream);
    this.#events.wake();
  }

  #finSaid(stream: Stream): void {
    stream.step("say-fin");
    stream.sending.finSaid = true;
    this.#dropIfOver(stream);
  }

  #resetHere(stream: Stream, code: FaultCode): void {
    this.#drop(stream);
    if (this.#ended !== undefined) return;
    this.#scheduler.reset(stream.number, code);
    this.#events.wake();
  }

  #dropIfOver(stream: Stream): void {
    if (stream.done) this.#drop(stream);
  }

  #drop(stream: Stream): void {
    this.#scheduler.remove(stream);
    this.#streams.drop(stream);
    this.#resumption.forget(stream);
  }
}
