import type { Bytes } from "#lib/bytes";
import { type Clock, sleep } from "#lib/clock";
import { Fault } from "#lib/fault";
import { wireBufferedBytesMax } from "#lib/limits";
import { closeCode } from "./close-code.ts";
import { EarlyMessages } from "./early-messages.ts";
import type { Wire, WireReceiver } from "./wire.ts";

/** What a faulty path makes of one message: nothing (dropped), itself, copies, or others; each at once or later. */
export interface Passage {
  readonly message: Bytes;
  /** ms after which it arrives; 0 when absent. Needs a clock. What is delayed is overtaken by what is not. */
  readonly delayMs?: number;
}

/** Decides about the `index`-th message (from 0) of one direction. */
export type Path = (message: Bytes, index: number) => readonly Passage[];

/** An in-memory pair: what one end sends, the other receives, asynchronously and in order. */
export interface MemoryWirePair {
  readonly a: Wire;
  readonly b: Wire;
  /** Cuts both directions at once: what is under way is lost, both ends learn it. */
  cut(): void;
  /** Loses all that is sent from now on, in both directions, and tells nobody: a dead path. */
  silence(): void;
}

export interface MemoryWireOptions {
  readonly aToB?: Path;
  readonly bToA?: Path;
  /** Needed for delays only. */
  readonly clock?: Clock;
}

/** Two wires joined in memory, with a faulty path between them on request: for tests, simulations and benches. */
export function memoryWirePair(options: MemoryWireOptions = {}): MemoryWirePair {
  const a = new MemoryWire(options.aToB, options.clock);
  const b = new MemoryWire(options.bToA, options.clock);
  a.peer = b;
  b.peer = a;
  return {
    a,
    b,
    cut() {
      const fault = new Fault("wire_lost", "cut");
      a.lose(fault);
      b.lose(fault);
    },
    silence() {
      a.silent = true;
      b.silent = true;
    },
  };
}

class MemoryWire implements Wire {
  peer: MemoryWire | undefined;
  silent = false;
  readonly #inbound = new EarlyMessages();
  readonly #path: Path | undefined;
  readonly #clock: Clock | undefined;
  #queue: Bytes[] = [];
  #queuedBytes = 0;
  #scheduled = false;
  #sent = 0;

  constructor(path: Path | undefined, clock: Clock | undefined) {
    this.#path = path;
    this.#clock = clock;
  }

  send(message: Bytes): void {
    if (this.#inbound.ended) throw new Fault("wire_lost", "sent on a closed wire");
    if (this.#queuedBytes + message.length > wireBufferedBytesMax) {
      this.close(closeCode.full, "buffer full");
      throw new Fault("wire_lost", "the peer does not take what is sent");
    }
    if (this.silent) return;
    const own = message.slice();
    if (this.#path === undefined) {
      this.#enqueue(own);
      return;
    }
    for (const { message: passed, delayMs } of this.#path(own, this.#sent++)) {
      if (delayMs === undefined || delayMs <= 0) this.#enqueue(passed);
      else this.#later(passed, delayMs);
    }
  }

  bufferedBytes(): number {
    return this.#queuedBytes;
  }

  receive(receiver: WireReceiver): void {
    this.#inbound.receive(receiver);
  }

  close(code: number, reason: string): void {
    if (this.#inbound.ended) return;
    this.#flush();
    const { peer } = this;
    this.lose(new Fault("closed", "closed here", { detail: { code, reason } }));
    queueMicrotask(() => {
      if (!this.silent) peer?.lose(new Fault("wire_lost", "closed by the peer", { detail: { code, reason } }));
    });
  }

  lose(fault: Fault): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#inbound.end(fault);
  }

  #enqueue(message: Bytes): void {
    this.#queue.push(message);
    this.#queuedBytes += message.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #later(message: Bytes, delayMs: number): void {
    if (this.#clock === undefined) throw new TypeError("a delay needs a clock");
    void sleep(this.#clock, delayMs).then(() => {
      if (!this.#inbound.ended && !this.silent) this.#enqueue(message);
    });
  }

  #flush(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const message of queue) {
      if (this.peer?.take(message) === false) this.peer.close(closeCode.tooEarly, "too much before a receiver");
    }
  }

  take(message: Bytes): boolean {
    return this.#inbound.message(message);
  }
}
