import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { nodeKeys } from "#lib/identity";
import { acceptLink, type Link, type MessageStream, type MuxStream, messageStream, subprotocol } from "#lib/link";
import { type ControlDown, type ControlUp, controlDownSchema, controlUpSchema, sessionStreams } from "#lib/session";
import { createAuthorityView } from "#lib/statement";
import { type RelaySession, RelaySwitch } from "../../gateway/relay/relay-switch.ts";
import { TunnelRelays } from "../../gateway/relay/tunnel-relays.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimWire } from "./sim-wire.ts";
import type { SimWorld } from "./sim-world.ts";

/** The address that nodes dial. */
export const simOrigin = "https://nexus.test";
export const simBinding = new Uint8Array(32).fill(7);

export interface SimNexusParts {
  readonly world: SimWorld;
  readonly process: SimProcess;
  /** A node has a session: its other streams are for who is told so. */
  readonly lanes: (session: NexusSession) => void;
  /** What a hostile relay makes of one message: nothing, itself, or others. */
  readonly alter: (message: Bytes) => readonly Bytes[];
}

/** One life of a Nexus: the links that end at it, and the real relay between them. */
export class SimNexus {
  readonly process: SimProcess;
  readonly #parts: SimNexusParts;
  readonly #switch: RelaySwitch;
  readonly #sessions = new Map<string, NexusSession>();

  constructor(parts: SimNexusParts) {
    const { process } = parts;
    this.process = process;
    this.#parts = parts;
    this.#switch = new RelaySwitch({
      clock: process.clock,
      log: process.log,
      solaris: {
        relay: async (_, to) => {
          await process.sleep(2);
          return { agentId: to, customerId: "acme" };
        },
      },
      sessionOf: (agentId) => this.#sessions.get(agentId),
      remote: () => Promise.reject(new Fault("offline")),
    });
  }

  /** A node's connection: `identifier` is whom Solaris took its header for. */
  async accept(wire: SimWire, identifier: string): Promise<void> {
    const { suite, clock, random, log } = this.process;
    const { own, credential } = this.#parts.world.nexus;
    const link = await acceptLink(wire, {
      suite,
      clock,
      random,
      log: log.child("session"),
      terms: {
        purpose: "session",
        offered: [subprotocol],
        chosen: subprotocol,
        initiator: identifier,
        responder: simOrigin,
        binding: simBinding,
      },
      keys: await nodeKeys(suite, own.secrets, own.identity),
      credential,
      authority: createAuthorityView(suite, this.#parts.world.authority.identity),
    });
    const session = new NexusSession(link, identifier, this.#switch, this.#parts);
    const former = this.#sessions.get(identifier);
    this.#sessions.set(identifier, session);
    void former?.link.close("displaced");
    await link.closed;
    if (this.#sessions.get(identifier) === session) this.#sessions.delete(identifier);
    session.lost();
  }
}

/** One node's session at Nexus, as far as the relay and the lanes need it. */
export class NexusSession implements RelaySession {
  readonly key;
  readonly customerId = "acme";
  readonly identifier: string;
  readonly open = true;
  readonly relays: TunnelRelays;
  readonly link: Link;
  #control: MessageStream<ControlDown, ControlUp> | undefined;

  constructor(link: Link, identifier: string, relay: RelaySwitch, { lanes, alter }: SimNexusParts) {
    this.link = link;
    this.identifier = identifier;
    this.key = { agentId: identifier, slot: 0, epoch: 1 } as const;
    this.relays = new TunnelRelays({
      send: (message) => this.send(message),
      sendRelay: (message) => {
        for (const passed of alter(message)) link.sendRelay(passed);
      },
      dropRelay: (id) => link.dropRelay(id),
    });
    link.onRelay((message) => this.relays.take(message));
    link.onStream((stream) => {
      if (!stream.name.every((byte, index) => byte === sessionStreams.control[index])) {
        this.onStream(stream);
        return;
      }
      this.#control = messageStream(stream, { incoming: controlUpSchema, outgoing: controlDownSchema });
      this.#control.deliver({
        message: (message) => {
          if (message.type === "relay-open") void relay.open(this, message);
          if (message.type === "relay-accept") this.relays.accept(message.relay);
          if (message.type === "relay-close") this.relays.close(message.relay, "closed");
        },
        ended: () => undefined,
      });
    });
    lanes(this);
  }

  /** Streams of the session that are not its control stream. */
  onStream: (stream: MuxStream) => void = (stream) => stream.reset("not_found");

  send(message: ControlDown): void {
    this.#control?.send(message).catch(() => undefined); // the session's end
  }

  lost(): void {
    this.relays.lost("wire_lost");
  }
}
