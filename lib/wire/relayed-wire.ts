import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { wireBufferedBytesMax } from "#lib/limits";
import { closeCode } from "./close-code.ts";
import { EarlyMessages } from "./early-messages.ts";
import type { Wire, WireReceiver } from "./wire.ts";

/** What a relayed wire stands on: one relay id of a tunnel. */
export interface RelayedPort {
  /** Bytes that stand in front of an inner message. */
  readonly headerBytes: number;
  /**
   * Queues one message, which has `headerBytes` in front of the inner one that this writes; it is sent or copied before this returns.
   * Throws a Fault when it can't be queued.
   */
  send(message: Bytes): void;
  /** Bytes queued here. */
  queuedBytes(): number;
  /** The other node is to be told that this end is gone. Called once, not after `lost`. */
  close(): void;
}

/** A wire to another node, which Nexus relays (PROTOCOL §7): what comes for its relay id is passed to `took`, its end to `lost`. */
export class RelayedWire implements Wire {
  readonly headerBytes: number;
  readonly #port: RelayedPort;
  readonly #inbound = new EarlyMessages();

  constructor(port: RelayedPort) {
    this.#port = port;
    this.headerBytes = port.headerBytes;
  }

  /** An inner message came. */
  took(message: Bytes): void {
    if (!this.#inbound.message(message)) this.close(closeCode.tooEarly, "too much too early");
  }

  /** Nothing comes any more: the other node, its tunnel or this one is gone. */
  lost(fault: Fault): void {
    this.#inbound.end(fault);
  }

  send(message: Bytes): void {
    const whole = new Uint8Array(this.headerBytes + message.length);
    whole.set(message, this.headerBytes);
    this.#send(whole);
  }

  sendBehind(message: Bytes): void {
    const { headerBytes } = this;
    this.#send(new Uint8Array(message.buffer, message.byteOffset - headerBytes, headerBytes + message.length));
  }

  bufferedBytes(): number {
    return this.#port.queuedBytes();
  }

  receive(receiver: WireReceiver): void {
    this.#inbound.receive(receiver);
  }

  close(code: number, reason: string): void {
    if (this.#inbound.ended) return;
    this.#inbound.end(new Fault("closed", "closed here", { detail: { code, reason } }));
    this.#port.close();
  }

  #send(whole: Bytes): void {
    if (this.#inbound.ended) throw new Fault("wire_lost", "sent on a closed wire");
    if (this.#port.queuedBytes() + whole.length > wireBufferedBytesMax) this.#full();
    try {
      this.#port.send(whole);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#full(error);
    }
  }

  /** Lost, and not closed by whoever uses it: what runs over it may go on elsewhere. */
  #full(cause?: Fault): never {
    const fault = new Fault("wire_lost", "the relay does not take what is sent", { cause });
    const told = this.#inbound.ended;
    this.#inbound.end(fault);
    if (!told) this.#port.close();
    throw fault;
  }
}
