import { z } from "zod";
import type { Broker, PlainMessages, Unlisten } from "#lib/broker";
import { type Bytes, decodeCbor, hex } from "#lib/bytes";
import type { Cancel, Clock, Random } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { relayMessageCostBytes, relayOpenTimeoutMs, relayQueueBytesMax } from "#lib/limits";
import { relayHeaderBytes } from "#lib/link";
import type { Log } from "#lib/log";
import { identifierSchema, numberSchema } from "#lib/session";
import { type RemoteOffer, readRelayMessage, relayMessages, tokenBytes } from "./relay-message.ts";
import type { PairEnd, TunnelEnd } from "./tunnel-relays.ts";

/** The other replica is told how much was taken after so many bytes. */
const takenEveryBytes = 1024 * 1024;
/** Whether replicas that pairs lead to still live is looked at this often, while there are pairs. */
const lookEveryMs = 5_000;
const slots = [0, 1] as const;

const placeSchema = z.object({ replica: identifierSchema, epoch: numberSchema });

export interface RemotePairsParts {
  readonly broker: Pick<Broker, "get">;
  /** A connection of its own: what is slow here never holds delivery up. */
  readonly messages: PlainMessages;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Identifier of this replica. */
  readonly replica: string;
  /** Another replica asks for one of this one's tunnels: resolves with the end that accepted. Rejects with the refusal. */
  offered(offer: RemoteOffer): Promise<TunnelEnd>;
}

/**
 * Pairs whose other tunnel is at another replica. Plain messages carry them: they may be lost or late, which the records of
 * the nodes tell them (PROTOCOL §7); nothing here is repeated.
 */
export class RemotePairs implements Disposable {
  readonly #parts: RemotePairsParts;
  readonly #ends = new Map<string, RemoteEnd>();
  readonly #answers = new Map<string, (code: FaultCode | undefined) => void>();
  readonly #unlisten: Unlisten;
  #cancel: Cancel = () => undefined;
  #looking = false;

  constructor(parts: RemotePairsParts) {
    this.#parts = parts;
    this.#unlisten = parts.messages.listen({ kind: "relay", replica: parts.replica }, (bytes) => this.#hear(bytes));
  }

  /** Asks the replicas that may have a tunnel of the agent, one after the other. Faults: `offline`, or what the node refused with. */
  async open(offer: Omit<RemoteOffer, "replica">, own: TunnelEnd): Promise<PairEnd> {
    let refusal = new Fault("offline");
    for (const replica of await this.#replicasOf(offer.agentId)) {
      const token = this.#parts.random(tokenBytes);
      const code = await this.#ask(replica, token, offer);
      if (code === undefined) return this.#add(replica, token, own);
      refusal = new Fault(code, "the node's replica refused");
      if (code !== "offline" && code !== "timeout") break; // the node itself has answered
    }
    throw refusal;
  }

  [Symbol.dispose](): void {
    this.#unlisten();
    this.#cancel();
    for (const end of [...this.#ends.values()]) end.close("draining");
  }

  /** Live replicas that presence names for the agent, this one left out: its own sessions were looked at. */
  async #replicasOf(agent: string): Promise<string[]> {
    const { broker, replica: own } = this.#parts;
    const places = await Promise.all(slots.map((slot) => broker.get({ kind: "agent", agent, slot })));
    const replicas = new Set(places.flatMap((value) => (value === undefined ? [] : (replicaIn(value.bytes) ?? []))));
    replicas.delete(own);
    const live = await Promise.all(
      [...replicas].map(async (replica) => ((await broker.get({ kind: "node", replica })) ? [replica] : [])),
    );
    return live.flat();
  }

  #ask(replica: string, token: Bytes, offer: Omit<RemoteOffer, "replica">): Promise<FaultCode | undefined> {
    const { messages, clock, replica: own } = this.#parts;
    const name = hex(token);
    return new Promise((resolve) => {
      const settle = (code: FaultCode | undefined) => {
        cancel();
        this.#answers.delete(name);
        resolve(code);
      };
      const cancel = clock.after(relayOpenTimeoutMs / 2, () => {
        this.#send(replica, relayMessages.close(token, "timeout")); // it may accept yet
        settle("timeout");
      });
      this.#answers.set(name, settle);
      messages.send({ kind: "relay", replica }, relayMessages.offer(token, { ...offer, replica: own }));
    });
  }

  #add(replica: string, token: Bytes, own: TunnelEnd): RemoteEnd {
    const end = new RemoteEnd({
      own,
      token,
      send: (bytes) => this.#send(replica, bytes),
      forget: () => this.#ends.delete(hex(token)),
      replica,
    });
    this.#ends.set(hex(token), end);
    this.#lookLater();
    return end;
  }

  #send(replica: string, bytes: Bytes): void {
    this.#parts.messages.send({ kind: "relay", replica }, bytes);
  }

  #hear(bytes: Bytes): void {
    try {
      const message = readRelayMessage(bytes);
      switch (message.kind) {
        case "offer":
          void this.#offered(bytes.slice(1, 1 + tokenBytes), message.offer);
          break;
        case "answer":
          this.#answers.get(message.token)?.(message.code);
          break;
        case "data":
          this.#ends.get(message.token)?.came(message.message);
          break;
        case "taken":
          this.#ends.get(message.token)?.taken(message.bytes);
          break;
        case "close":
          this.#ends.get(message.token)?.closed(message.code);
          break;
      }
    } catch (error) {
      this.#parts.log.warn("another replica said nonsense", { code: asFault(error, "malformed").code });
    }
  }

  async #offered(token: Bytes, offer: RemoteOffer): Promise<void> {
    const { replica } = offer;
    try {
      const own = await this.#parts.offered(offer);
      own.join(this.#add(replica, token, own));
      this.#send(replica, relayMessages.answer(token, undefined));
    } catch (error) {
      this.#send(replica, relayMessages.answer(token, asFault(error, "internal").code));
    }
  }

  #lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#cancel = this.#parts.clock.after(lookEveryMs, () => void this.#look());
  }

  /** A replica that was killed says nothing: its lease is gone. */
  async #look(): Promise<void> {
    const { broker } = this.#parts;
    for (const replica of new Set([...this.#ends.values()].map((end) => end.replica))) {
      const lives = await broker.get({ kind: "node", replica }).catch(() => true); // no answer says nothing about it
      if (lives !== undefined) continue;
      for (const end of [...this.#ends.values()]) if (end.replica === replica) end.closed("wire_lost");
    }
    this.#looking = false;
    if (this.#ends.size > 0) this.#lookLater();
  }
}

interface RemoteEndParts {
  readonly own: TunnelEnd;
  readonly token: Bytes;
  readonly replica: string;
  readonly send: (bytes: Bytes) => void;
  readonly forget: () => void;
}

/** The side of a pair that is at another replica. */
class RemoteEnd implements PairEnd {
  readonly replica: string;
  readonly #parts: RemoteEndParts;
  #sent = 0;
  #acknowledged = 0;
  #came = 0;
  #told = 0;
  #over = false;

  constructor(parts: RemoteEndParts) {
    this.#parts = parts;
    this.replica = parts.replica;
  }

  forward(message: Bytes): void {
    if (this.#over) return;
    const { own, token, send } = this.#parts;
    this.#sent += costOf(message);
    if (this.#sent - this.#acknowledged > relayQueueBytesMax) {
      this.close("limited");
      own.end("limited");
      return;
    }
    send(relayMessages.data(token, message));
  }

  end(code: FaultCode): void {
    this.close(code);
  }

  /** Tells the other replica. */
  close(code: FaultCode): void {
    if (!this.#finish()) return;
    this.#parts.send(relayMessages.close(this.#parts.token, code));
  }

  /** The other replica says so. */
  closed(code: FaultCode): void {
    if (this.#finish()) this.#parts.own.end(code);
  }

  came(message: Bytes): void {
    if (message.length <= relayHeaderBytes) return; // nothing in it
    this.#came += costOf(message);
    this.#parts.own.forward(message);
    if (this.#came - this.#told < takenEveryBytes || this.#over) return;
    this.#told = this.#came;
    this.#parts.send(relayMessages.taken(this.#parts.token, this.#came));
  }

  taken(bytes: number): void {
    if (bytes > this.#acknowledged && bytes <= this.#sent) this.#acknowledged = bytes;
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#parts.forget();
    return true;
  }
}

function costOf(message: Bytes): number {
  return message.length + relayMessageCostBytes;
}

function replicaIn(bytes: Bytes): string | undefined {
  try {
    return placeSchema.parse(decodeCbor(bytes)).replica;
  } catch {
    return undefined; // a place that can't be read is nobody's
  }
}
