import type { Bytes } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { relayOpenTimeoutMs } from "#lib/limits";
import type { Log } from "#lib/log";
import type { ControlDown, ControlUp } from "#lib/session";
import type { SessionKey, SolarisClient } from "../replica/solaris-client.ts";
import type { RemoteOffer } from "./relay-message.ts";
import type { PairEnd, TunnelEnd, TunnelRelays } from "./tunnel-relays.ts";

/** A session as the relay sees it. */
export interface RelaySession {
  readonly key: SessionKey;
  readonly customerId: string;
  readonly identifier: string;
  readonly open: boolean;
  readonly relays: TunnelRelays;
  send(message: ControlDown): void;
}

export type RelayRequest = Extract<ControlUp, { type: "relay-open" }>;

export interface RelaySwitchParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly solaris: Pick<SolarisClient, "relay">;
  /** The newest open session of an agent at this replica. */
  readonly sessionOf: (agentId: string) => RelaySession | undefined;
  /** Asks the other replicas. */
  readonly remote: (offer: Omit<RemoteOffer, "replica">, own: TunnelEnd) => Promise<PairEnd>;
}

/** Who wants a wire, to whom, and what both must know alike. */
interface Wanted {
  readonly from: string;
  readonly customerId: string;
  readonly agentId: string;
  readonly to: string;
  readonly offered: string[];
  readonly binding: Bytes;
}

/**
 * Joins two tunnels where Solaris says that a portal does: the one that asks, and the node that it names (PROTOCOL §7). What it
 * forwards it can't read; whom it joins the nodes check themselves.
 */
export class RelaySwitch {
  readonly #parts: RelaySwitchParts;

  constructor(parts: RelaySwitchParts) {
    this.#parts = parts;
  }

  /** Answers a request with `relay-opened` or, within `relayOpenTimeoutMs`, with `relay-refused`. Never rejects. */
  async open(session: RelaySession, { request, to, offered, binding }: RelayRequest): Promise<void> {
    let own: TunnelEnd | undefined;
    try {
      own = session.relays.add();
      const wanted = { from: session.identifier, customerId: session.customerId, to, offered, binding };
      const peer = await this.#inTime(this.#join(session, wanted, own));
      own.join(peer);
      session.send({ type: "relay-opened", request, relay: own.id });
    } catch (error) {
      const { code, message } = asFault(error, "internal");
      const { agentId: agent } = session.key;
      this.#parts.log[code === "internal" ? "error" : "info"]("a wire was refused", {
        agent,
        to,
        code,
        reason: message,
      });
      own?.leave(code);
      session.send({ type: "relay-refused", request, code });
    }
  }

  /** Another replica asks for a tunnel of this one. Rejects with the refusal. */
  async offered(offer: RemoteOffer): Promise<TunnelEnd> {
    const session = this.#sessionFor(offer);
    if (session === undefined) throw new Fault("offline");
    return this.#offer(session, offer);
  }

  async #join(session: RelaySession, asked: Omit<Wanted, "agentId">, own: TunnelEnd): Promise<PairEnd> {
    if (asked.to === session.identifier) throw new Fault("bad_request", "a wire to itself");
    const { agentId, customerId } = await this.#parts.solaris.relay(session.key, asked.to);
    if (customerId !== session.customerId) throw new Fault("not_found", "a node of another customer");
    const wanted = { ...asked, agentId };
    const there = this.#sessionFor(wanted);
    if (there === undefined) return this.#parts.remote(wanted, own);
    const end = await this.#offer(there, wanted);
    end.join(own);
    return end;
  }

  #sessionFor({ agentId, to, customerId }: Pick<Wanted, "agentId" | "to" | "customerId">): RelaySession | undefined {
    const session = this.#parts.sessionOf(agentId);
    return session?.identifier === to && session.customerId === customerId ? session : undefined;
  }

  /** Resolves once the node has accepted. */
  async #offer(session: RelaySession, { from, offered, binding }: Wanted | RemoteOffer): Promise<TunnelEnd> {
    const end = session.relays.add();
    const answered = new Promise<FaultCode | undefined>((resolve) => end.whenAnswered(resolve));
    const cancel = this.#parts.clock.after(relayOpenTimeoutMs / 2, () => end.end("timeout"));
    session.send({ type: "relay-offer", relay: end.id, from, offered, binding });
    const code = await answered;
    cancel();
    if (code !== undefined) throw new Fault(code, "the node refused the wire");
    return end;
  }

  async #inTime(joining: Promise<PairEnd>): Promise<PairEnd> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#parts.clock.after(relayOpenTimeoutMs, () => late.reject(new Fault("timeout")));
    try {
      return await Promise.race([joining, late.promise]);
    } catch (error) {
      void joining.then(
        (end) => end.end("timeout"),
        () => undefined, // refused after the asker was told
      );
      throw error;
    } finally {
      cancel();
    }
  }
}
