import { Fault } from "#lib/fault";
import { nodeKeys } from "#lib/identity";
import { type Link, type MuxStream, messageStream, openLink, subprotocol } from "#lib/link";
import { controlDownSchema, controlUpSchema, sessionStreams } from "#lib/session";
import { createAuthorityView } from "#lib/statement";
import { PeerChannels, type PeerTrust } from "../../agent/peers/peer-channels.ts";
import { Relays } from "../../agent/tunnel/relays.ts";
import { simBinding, simOrigin } from "./sim-nexus.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimWire } from "./sim-wire.ts";
import type { Persona, SimWorld } from "./sim-world.ts";

const redialMinMs = 50;
const redialMaxMs = 2_000;

export interface SimNodeParts {
  readonly world: SimWorld;
  readonly persona: Persona;
  readonly process: SimProcess;
  /** A wire to Nexus; undefined while it does not listen. */
  readonly dial: () => SimWire | undefined;
  /** The other node opened a stream. */
  readonly taken: (stream: MuxStream) => void;
  /** A session is open. */
  readonly session: (link: Link) => void;
}

/** One life of a Mercury: a tunnel that is dialled again and again, and the real channels to the other node on it. */
export class SimNode {
  readonly process: SimProcess;
  readonly peers: PeerChannels;
  readonly #parts: SimNodeParts;
  #relays: Relays | undefined;

  private constructor(parts: SimNodeParts, peers: (node: SimNode) => PeerChannels) {
    this.process = parts.process;
    this.#parts = parts;
    this.peers = peers(this);
  }

  static async start(parts: SimNodeParts): Promise<SimNode> {
    const { world, persona, process, taken } = parts;
    const { suite, clock, random, log } = process;
    const keys = await nodeKeys(suite, persona.own.secrets, persona.own.identity);
    const trust = {
      keys,
      credential: { jws: persona.credential, claims: persona.claims },
      authority: createAuthorityView(suite, world.authority.identity),
      freshness: { revocations: 0, desired: 0, authorityIat: 0 },
      isRevoked: () => false,
      keepAuthority: () => Promise.resolve(),
      onChange: () => () => undefined,
    };
    const peers = (node: SimNode) =>
      new PeerChannels({
        suite,
        clock,
        random,
        log: log.child("channel"),
        trust,
        relays() {
          if (node.#relays === undefined) throw new Fault("offline");
          return node.#relays;
        },
        demandList: () => Promise.resolve(),
        names: () => true,
        taken: (stream) => taken(stream),
        resumed: () => undefined,
        renewed: () => undefined,
      });
    const node = new SimNode(parts, peers);
    void node.#keepTunnel(trust);
    return node;
  }

  get identifier(): string {
    return this.#parts.persona.own.identity.identifier;
  }

  async #keepTunnel(trust: PeerTrust): Promise<void> {
    let delayMs = redialMinMs;
    for (;;) {
      const wire = this.#parts.dial();
      try {
        if (wire === undefined) throw new Fault("offline");
        const link = await this.#openTunnel(wire, trust);
        delayMs = redialMinMs;
        await this.#serve(link);
      } catch {
        delayMs = Math.min(redialMaxMs, delayMs * 2); // Nexus is away, or the wire was lost in the handshake
      }
      await this.process.sleep(delayMs);
    }
  }

  #openTunnel(wire: SimWire, trust: PeerTrust): Promise<Link> {
    const { suite, clock, random, log } = this.process;
    return openLink(wire, {
      suite,
      clock,
      random,
      log: log.child("tunnel"),
      terms: {
        purpose: "session",
        offered: [subprotocol],
        chosen: subprotocol,
        initiator: this.identifier,
        responder: simOrigin,
        binding: simBinding,
      },
      keys: trust.keys,
      credential: trust.credential.jws,
      authority: trust.authority,
    });
  }

  /** Until the link ends. */
  async #serve(link: Link): Promise<void> {
    const schemas = { outgoing: controlUpSchema, incoming: controlDownSchema };
    const control = messageStream(link.open(sessionStreams.control), schemas);
    const relays = new Relays({
      link,
      clock: this.process.clock,
      send: (message) => void control.send(message).catch(() => undefined), // the session's end
      offered: (offer, by) => this.peers.offered(offer, by),
    });
    control.deliver({
      message: (message) => {
        if (message.type !== "relay-opened" && message.type !== "relay-refused") {
          if (message.type !== "relay-offer" && message.type !== "relay-closed") return;
        }
        relays.take(message);
      },
      ended: () => undefined,
    });
    this.#relays = relays;
    this.#parts.session(link);
    await link.closed;
    if (this.#relays === relays) this.#relays = undefined;
  }
}
