import { type Bytes, readUint32 } from "#lib/bytes";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { relaysPerTunnelMax } from "#lib/limits";
import { writeRelayHeader } from "#lib/link";
import type { ControlDown } from "#lib/session";

/** One side of a pair: the tunnel that it is relayed to, or the replica that has that tunnel. */
export interface PairEnd {
  /** Takes a message of the other side: 0x03 ‖ 4 bytes of room ‖ inner message. Its bytes belong to this end from now on. */
  forward(message: Bytes): void;
  /** The other side is gone: this one is told why, and is over. */
  end(code: FaultCode): void;
}

/** What a tunnel does for its pairs. */
export interface RelayTunnel {
  send(message: ControlDown): void;
  /** Faults as `Link.sendRelay`. */
  sendRelay(message: Bytes): void;
  dropRelay(id: number): void;
}

/** The relay ids of one tunnel: drawn here, ascending, never used twice. What is said of an id that was not drawn ends the tunnel. */
export class TunnelRelays {
  readonly #tunnel: RelayTunnel;
  readonly #ends = new Map<number, TunnelEnd>();
  #next = 1;

  constructor(tunnel: RelayTunnel) {
    this.#tunnel = tunnel;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** A new end under the next id. Fault `limited`. */
  add(): TunnelEnd {
    if (this.#ends.size >= relaysPerTunnelMax || this.#next > 0xffff_ffff)
      throw new Fault("limited", "too many relayed wires on this tunnel");
    const id = this.#next++;
    const end = new TunnelEnd(this.#tunnel, id, () => this.#ends.delete(id));
    this.#ends.set(id, end);
    return end;
  }

  /** A message of kind 0x03 from the tunnel. Fault `bad_request`. */
  take(message: Bytes): void {
    this.#find(readUint32(message, 1))?.took(message);
  }

  /** The tunnel accepts an offered wire. Fault `bad_request`. */
  accept(id: number): void {
    this.#find(id)?.accept();
  }

  /** The tunnel gives a wire up. Fault `bad_request`. */
  close(id: number, code: FaultCode): void {
    this.#find(id)?.leave(code);
  }

  /** The tunnel is gone: the other ends are told at once. */
  lost(code: FaultCode): void {
    for (const end of [...this.#ends.values()]) end.leave(code);
  }

  /** Undefined for one that is over: what still comes for it was under way. */
  #find(id: number): TunnelEnd | undefined {
    if (id === 0 || id >= this.#next) throw new Fault("bad_request", "a relay id that was never given");
    return this.#ends.get(id);
  }
}

/** The side of a pair that is a tunnel of this replica. */
export class TunnelEnd implements PairEnd {
  readonly id: number;
  readonly #tunnel: RelayTunnel;
  readonly #forget: () => void;
  #peer: PairEnd | undefined;
  #over = false;
  #answer: ((code: FaultCode | undefined) => void) | undefined;

  constructor(tunnel: RelayTunnel, id: number, forget: () => void) {
    this.#tunnel = tunnel;
    this.id = id;
    this.#forget = forget;
  }

  /** From here on what comes from the tunnel goes to `peer`. */
  join(peer: PairEnd): void {
    this.#peer = peer;
    if (this.#over) peer.end("closed");
  }

  /** Calls `answer` once: undefined when the tunnel accepts, else with the code of its refusal. */
  whenAnswered(answer: (code: FaultCode | undefined) => void): void {
    this.#answer = answer;
  }

  accept(): void {
    this.#settle(undefined);
  }

  /** A message of the tunnel; before the pair is joined it means nothing. */
  took(message: Bytes): void {
    if (this.#answer === undefined) this.#peer?.forward(message);
  }

  forward(message: Bytes): void {
    if (this.#over) return;
    writeRelayHeader(message, this.id);
    try {
      this.#tunnel.sendRelay(message);
    } catch (error) {
      // A tunnel that has ended ends its pairs itself; what is left is a pair that sends more than is taken.
      const { code } = asFault(error, "internal");
      if (code !== "limited") return;
      this.end(code);
      this.#peer?.end(code);
    }
  }

  end(code: FaultCode): void {
    if (!this.#finish()) return;
    this.#tunnel.dropRelay(this.id);
    this.#tunnel.send({ type: "relay-closed", relay: this.id, code });
    this.#settle(code);
  }

  /** The tunnel gives it up, or is gone: the other side is told. */
  leave(code: FaultCode): void {
    if (!this.#finish()) return;
    this.#tunnel.dropRelay(this.id);
    this.#settle(code);
    this.#peer?.end(code);
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#forget();
    return true;
  }

  #settle(code: FaultCode | undefined): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(code);
  }
}
