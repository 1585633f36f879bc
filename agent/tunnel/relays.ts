import { type Bytes, readUint32 } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { type Link, relayHeaderBytes, subprotocol, writeRelayHeader } from "#lib/link";
import type { ControlDown, ControlUp } from "#lib/session";
import { RelayedWire, type Wire } from "#lib/wire";

/** Nexus answers within 2 s; a tunnel that is dead is noticed by its own heartbeat later than this. */
const askTimeoutMs = 4_000;

export type RelayOffer = Extract<ControlDown, { type: "relay-offer" }>;
/** What Nexus says about wires. */
export type RelayAnswer = Extract<ControlDown, { type: `relay-${string}` }>;

export interface RelaysParts {
  readonly link: Link;
  readonly clock: Clock;
  /** Sends on the control stream; what can't be sent any more has the session's end as answer. */
  readonly send: (message: ControlUp) => void;
  /** Another node asks for a wire: takes it with `accept`, or refuses. */
  readonly offered: (offer: RelayOffer, relays: Relays) => void;
}

interface Asked {
  readonly answer: (wire: Wire) => void;
  readonly refuse: (fault: Fault) => void;
  readonly cancel: Cancel;
}

/** Wires to other nodes over one session: those that were asked for, and those that were offered (PROTOCOL §7). */
export class Relays {
  readonly #parts: RelaysParts;
  readonly #wires = new Map<number, RelayedWire>();
  readonly #asked = new Map<number, Asked>();
  #request = 0;
  #over = false;

  constructor(parts: RelaysParts) {
    this.#parts = parts;
    parts.link.onRelay((message) => {
      // Of a wire that is closed here it was under way.
      this.#wires.get(readUint32(message, 1))?.took(message.subarray(relayHeaderBytes));
    });
    void parts.link.closed.then((fault) => this.#lost(fault));
  }

  /** Asks Nexus for a wire to `to`. Rejects with the code it was refused with, within `askTimeoutMs`. */
  ask(to: string, binding: Bytes): Promise<Wire> {
    if (this.#over) return Promise.reject(new Fault("offline", "this node has no tunnel now"));
    const request = ++this.#request;
    return new Promise<Wire>((answer, refuse) => {
      const cancel = this.#parts.clock.after(askTimeoutMs, () => this.#refused(request, "timeout"));
      this.#asked.set(request, { answer, refuse, cancel });
      this.#parts.send({ type: "relay-open", request, to, offered: [subprotocol], binding });
    });
  }

  /** Takes an offered wire. */
  accept({ relay }: RelayOffer): Wire {
    const wire = this.#add(relay);
    this.#parts.send({ type: "relay-accept", relay });
    return wire;
  }

  refuse({ relay }: RelayOffer, code: FaultCode): void {
    this.#parts.send({ type: "relay-close", relay, code });
  }

  /** What Nexus says. */
  take(message: RelayAnswer): void {
    switch (message.type) {
      case "relay-opened":
        this.#opened(message.request, message.relay);
        break;
      case "relay-refused":
        this.#refused(message.request, message.code);
        break;
      case "relay-offer":
        this.#parts.offered(message, this);
        break;
      case "relay-closed": {
        const wire = this.#wires.get(message.relay);
        this.#wires.delete(message.relay);
        this.#parts.link.dropRelay(message.relay);
        wire?.lost(new Fault("wire_lost", "the relayed wire was closed", { detail: { code: message.code } }));
        break;
      }
    }
  }

  #opened(request: number, relay: number): void {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    asked?.cancel();
    if (asked === undefined)
      this.#parts.send({ type: "relay-close", relay, code: "timeout" }); // too late
    else asked.answer(this.#add(relay));
  }

  #refused(request: number, code: string): void {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    asked?.cancel();
    asked?.refuse(new Fault(isFaultCode(code) ? code : "unavailable", "no wire to the node", { detail: { code } }));
  }

  #add(relay: number): RelayedWire {
    const { link, send } = this.#parts;
    const wire = new RelayedWire({
      headerBytes: relayHeaderBytes,
      send(message) {
        writeRelayHeader(message, relay);
        link.sendRelay(message, true);
      },
      queuedBytes: () => link.relayQueuedBytes(relay),
      close: () => {
        this.#wires.delete(relay);
        send({ type: "relay-close", relay, code: "closed" });
      },
    });
    this.#wires.set(relay, wire);
    return wire;
  }

  #lost(fault: Fault): void {
    this.#over = true;
    for (const { refuse, cancel } of this.#asked.values()) {
      cancel();
      refuse(fault);
    }
    this.#asked.clear();
    for (const wire of this.#wires.values()) wire.lost(new Fault("wire_lost", "the tunnel was lost", { cause: fault }));
    this.#wires.clear();
  }
}
