import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { wireBufferedBytesMax } from "#lib/limits";
import type { Wire, WireReceiver } from "#lib/wire";
import type { SimProcess } from "./sim-process.ts";
import type { SimTime } from "./sim-time.ts";

/** How one path behaves, drawn once. */
export interface Path {
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly bytesPerMs: number;
}

/** One connection between two processes, as TCP gives it: in order or not at all. */
export class SimConnection {
  readonly a: SimWire;
  readonly b: SimWire;

  constructor(time: SimTime, path: Path, a: SimProcess, b: SimProcess) {
    this.a = new SimWire(time, path, a);
    this.b = new SimWire(time, path, b);
    this.a.peer = this.b;
    this.b.peer = this.a;
  }

  /** Loses what is under way; each end learns it some time later, and sends into nothing until then. */
  cut(noticeMaxMs: number): void {
    this.a.cut(noticeMaxMs);
    this.b.cut(noticeMaxMs);
  }

  /** Loses all from now on and tells nobody. */
  silence(): void {
    this.a.silent = true;
    this.b.silent = true;
  }
}

/** One end of a connection. */
export class SimWire implements Wire {
  peer: SimWire | undefined;
  silent = false;
  readonly process: SimProcess;
  readonly #time: SimTime;
  readonly #path: Path;
  #receiver: WireReceiver | undefined;
  readonly #early: Bytes[] = [];
  #fault: Fault | undefined;
  #queuedBytes = 0;
  #departsMs = 0;
  #arrivesMs = 0;

  constructor(time: SimTime, path: Path, process: SimProcess) {
    this.#time = time;
    this.#path = path;
    this.process = process;
  }

  send(message: Bytes): void {
    if (this.#fault !== undefined) throw new Fault("wire_lost", "sent on a closed wire");
    if (this.#queuedBytes + message.length > wireBufferedBytesMax) {
      this.close();
      throw new Fault("wire_lost", "the peer does not take what is sent");
    }
    const own = message.slice();
    this.#queuedBytes += own.length;
    this.#behind(own.length, () => this.peer?.came(own));
  }

  bufferedBytes(): number {
    return this.#queuedBytes;
  }

  receive(receiver: WireReceiver): void {
    this.#receiver = receiver;
    for (const message of this.#early.splice(0)) receiver.message(message);
    if (this.#fault !== undefined) receiver.closed(this.#fault);
  }

  close(): void {
    if (this.#fault !== undefined) return;
    this.#lose("closed", "closed here");
    const { peer } = this;
    if (peer !== undefined) this.#behind(0, () => peer.#lose("wire_lost", "closed by the peer"));
  }

  cut(noticeMaxMs: number): void {
    this.silent = true;
    this.#time.after(this.#time.random.integer(0, noticeMaxMs), () => this.#lose("wire_lost", "cut"));
  }

  /** After what was sent before, at the path's pace. */
  #behind(bytes: number, act: () => void): void {
    const { latencyMs, jitterMs, bytesPerMs } = this.#path;
    const now = this.#time.monotonic();
    this.#departsMs = Math.max(now, this.#departsMs) + bytes / bytesPerMs;
    const jitter = this.#time.random.integer(0, jitterMs * 10) / 10;
    this.#arrivesMs = Math.max(this.#departsMs + latencyMs + jitter, this.#arrivesMs + 0.001);
    this.#time.after(this.#departsMs - now, () => {
      this.#queuedBytes -= bytes;
    });
    this.#time.after(this.#arrivesMs - now, () => {
      if (!this.silent) act();
    });
  }

  /** A message of the other end has arrived. */
  came(message: Bytes): void {
    if (this.#fault !== undefined) return;
    this.process.do(() => {
      if (this.#receiver === undefined) this.#early.push(message);
      else this.#receiver.message(message);
    });
  }

  #lose(code: "closed" | "wire_lost", why: string): void {
    if (this.#fault !== undefined) return;
    const fault = new Fault(code, why);
    this.#fault = fault;
    this.process.do(() => this.#receiver?.closed(fault));
  }
}
