import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { wireEarlyBytesMax } from "#lib/limits";
import type { Wire, WireReceiver } from "#lib/wire";

/** Messages of a wire one by one while a handshake goes on; then handed over to the link, with what came too early. */
export class WireInbox {
  /** Rejects when the opening is given up, or the wire has ended and what came before that was read. */
  readonly failed: Promise<never>;
  #reject: (fault: Fault) => void = () => undefined;
  #waiting: Bytes[] = [];
  #waitingBytes = 0;
  #wanted: ((message: Bytes) => void) | undefined;
  #receiver: WireReceiver | undefined;
  #fault: Fault | undefined;

  constructor(wire: Wire) {
    this.failed = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.failed.catch(() => undefined); // whoever races it hears; nobody else has to
    wire.receive({ message: (message) => this.#take(message), closed: (fault) => this.#closed(fault) });
  }

  /** The next message; one call at a time. Never settles when none comes: race it with `failed`. */
  next(): Promise<Bytes> {
    const message = this.#waiting.shift();
    if (message !== undefined) {
      this.#waitingBytes -= message.length;
      return Promise.resolve(message);
    }
    if (this.#fault !== undefined) this.#reject(this.#fault);
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  /** Gives up: later messages are dropped. */
  fail(fault: Fault): void {
    if (this.#receiver !== undefined) return;
    this.#fault ??= fault;
    this.#waiting = [];
    this.#reject(this.#fault);
  }

  /** From here on everything goes to `receiver`, first what waits. */
  handOver(receiver: WireReceiver): void {
    this.#receiver = receiver;
    for (const message of this.#waiting) receiver.message(message);
    this.#waiting = [];
    if (this.#fault !== undefined) receiver.closed(this.#fault);
  }

  #take(message: Bytes): void {
    if (this.#receiver !== undefined) {
      this.#receiver.message(message);
      return;
    }
    if (this.#fault !== undefined) return;
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted !== undefined) {
      wanted(message);
      return;
    }
    this.#waitingBytes += message.length;
    if (this.#waitingBytes > wireEarlyBytesMax) this.fail(new Fault("too_large", "too much before the channel is up"));
    else this.#waiting.push(message);
  }

  #closed(fault: Fault): void {
    if (this.#receiver !== undefined) {
      this.#receiver.closed(fault);
      return;
    }
    this.#fault ??= fault;
    if (this.#wanted !== undefined) this.#reject(this.#fault); // else a refusal may still be on its way to its reader
  }
}
