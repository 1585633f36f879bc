import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import { peersMax } from "#lib/limits";
import type { Link, MuxStream, VerifiedPeer } from "#lib/link";
import type { Log } from "#lib/log";
import type { RelayOffer, Relays } from "../tunnel/relays.ts";
import type { Trust } from "../tunnel/trust.ts";
import { PeerChannel } from "./peer-channel.ts";

/** Of who this node is and whom it believes, what its channels need. */
export type PeerTrust = Pick<
  Trust,
  "keys" | "credential" | "authority" | "freshness" | "isRevoked" | "keepAuthority" | "onChange"
>;

/** What channels to other nodes need of this one. */
export interface PeerParts {
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly trust: PeerTrust;
  /** The wires of the session that is open. Fault `offline` when none is. */
  readonly relays: () => Relays;
  /** Has the cloud show the revocation list; resolves once one of this number is held. */
  readonly demandList: (number: number) => Promise<void>;
  /** Whether one of this node's portals names the node. */
  readonly names: (identifier: string) => boolean;
  /** A node opened a stream. */
  readonly taken: (stream: MuxStream, link: Link) => void;
  /** A stream that a node opened before would go on on a new channel: the code it is reset with when it may not. */
  readonly resumed: (stream: MuxStream, peer: VerifiedPeer) => FaultCode | undefined;
  /** A node showed a fresh credential, which was verified. */
  readonly renewed: (peer: VerifiedPeer) => void;
  /** ms without a stream after which a channel is closed; default `peerIdleMs`. */
  readonly idleMs?: number;
}

/** Channels to other nodes, one each. */
export class PeerChannels implements AsyncDisposable {
  readonly #parts: PeerParts;
  readonly #channels = new Map<string, PeerChannel>();
  readonly #forget: () => void;

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#forget = parts.trust.onChange(() => {
      for (const channel of this.#channels.values()) channel.trustChanged();
    });
  }

  /** The channel to a node, open or not. Faults: `forbidden` when no portal names it, `revoked`, `limited`. */
  to(identifier: string): PeerChannel {
    const { names, trust } = this.#parts;
    if (!names(identifier)) throw new Fault("forbidden", "no portal names this node");
    if (trust.isRevoked(identifier)) throw new Fault("revoked");
    return this.#channel(identifier);
  }

  /** Another node asks for a channel: refused unless a portal names it. Who it is the handshake proves. */
  offered(offer: RelayOffer, relays: Relays): void {
    const { names, trust } = this.#parts;
    try {
      if (!names(offer.from)) throw new Fault("identity_unexpected", "no portal names this node");
      if (trust.isRevoked(offer.from)) throw new Fault("revoked");
      this.#channel(offer.from).offered(offer, relays);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      relays.refuse(offer, error.code);
    }
  }

  /** Portals came or went: channels to nodes that none names any more end. */
  portalsChanged(): void {
    for (const [identifier, channel] of this.#channels) {
      if (this.#parts.names(identifier)) continue;
      this.#channels.delete(identifier);
      void channel.close("forbidden");
    }
  }

  /** This node itself is revoked: what is open, or waits for another channel, ends now and not when its patience does. */
  revoked(): void {
    for (const channel of this.#channels.values()) channel.end("revoked");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forget();
    await Promise.all([...this.#channels.values()].map((channel) => channel.close("closed")));
  }

  #channel(identifier: string): PeerChannel {
    const known = this.#channels.get(identifier);
    if (known !== undefined) return known;
    if (this.#channels.size >= peersMax) throw new Fault("limited", "channels to too many nodes");
    const channel = new PeerChannel(this.#parts, identifier);
    this.#channels.set(identifier, channel);
    return channel;
  }
}
