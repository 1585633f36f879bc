import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import { wireEarlyBytesMax } from "#lib/limits";
import type { WireReceiver } from "./wire.ts";

/**
 * The receiving half of every wire: holds what arrives before a receiver is named (at most `wireEarlyBytesMax`
 * bytes), hands it over in order, and calls `closed` exactly once.
 */
export class EarlyMessages {
  #receiver: WireReceiver | undefined;
  #early: Bytes[] = [];
  #earlyBytes = 0;
  #fault: Fault | undefined;

  /** Whether the end of the wire has been noted. */
  get ended(): boolean {
    return this.#fault !== undefined;
  }

  /** Passes a message on, or holds it. False when it can't be held: the wire has to be closed. */
  message(message: Bytes): boolean {
    if (this.#fault !== undefined) return true;
    if (this.#receiver !== undefined) {
      this.#receiver.message(message);
      return true;
    }
    this.#earlyBytes += message.length;
    if (this.#earlyBytes > wireEarlyBytesMax) return false;
    this.#early.push(message);
    return true;
  }

  /** Notes the end; the first reason stays. */
  end(fault: Fault): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#receiver?.closed(fault);
  }

  receive(receiver: WireReceiver): void {
    if (this.#receiver !== undefined) throw new TypeError("a wire has one receiver");
    this.#receiver = receiver;
    const early = this.#early;
    this.#early = [];
    this.#earlyBytes = 0;
    for (const message of early) receiver.message(message);
    if (this.#fault !== undefined) receiver.closed(this.#fault);
  }
}
