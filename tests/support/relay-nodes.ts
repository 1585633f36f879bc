import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import {
  acceptLink,
  type Link,
  type LinkOptions,
  openLink,
  relayHeaderBytes,
  subprotocol,
  writeRelayHeader,
} from "#lib/link";
import { systemClock, systemRandom } from "#lib/runtime";
import type { ControlDown } from "#lib/session";
import { createAuthorityView } from "#lib/statement";
import { RelayedWire } from "#lib/wire";
import { FakeSession, openTunnel } from "./fake-agent-tunnel.ts";
import type { FakeAgent, FakeSolaris } from "./fake-solaris.ts";

type Offer = Extract<ControlDown, { type: "relay-offer" }>;

/** A node with an open session that asks for wires and takes those it is offered. */
export class RelayNode {
  readonly agent: FakeAgent;
  readonly link: Link;
  readonly session: FakeSession;
  /** What came beside the channel and belongs to no wire. */
  readonly strays: Bytes[] = [];
  readonly closed = new Map<number, string>();
  /** Decides about an offer; undefined accepts. */
  refuse: (offer: Offer) => string | undefined = () => undefined;
  /** Accepted wires, in their order. */
  readonly offers: { readonly offer: Offer; readonly wire: RelayedWire }[] = [];
  readonly #wires = new Map<number, RelayedWire>();
  readonly #answers = new Map<number, (answer: ControlDown) => void>();
  #request = 0;

  constructor(agent: FakeAgent, link: Link, session: FakeSession) {
    this.agent = agent;
    this.link = link;
    this.session = session;
    link.onRelay((message) => {
      const id = new DataView(message.buffer, message.byteOffset).getUint32(1);
      const wire = this.#wires.get(id);
      if (wire === undefined) this.strays.push(message);
      else wire.took(message.subarray(relayHeaderBytes));
    });
    void this.#listen().catch(() => undefined); // the session's end
  }

  static async open(suite: CryptoSuite, solaris: FakeSolaris, agent: FakeAgent, url: string): Promise<RelayNode> {
    const link = await openTunnel(suite, solaris, agent, url);
    return new RelayNode(agent, link, await FakeSession.begin(link));
  }

  get identifier(): string {
    return this.agent.keys.identity.identifier;
  }

  /** Asks for a wire. Rejects with the code of the refusal as the Fault's detail. */
  async ask(to: string, binding: Bytes = systemRandom(16)): Promise<{ id: number; wire: RelayedWire; binding: Bytes }> {
    const request = ++this.#request;
    const answered = new Promise<ControlDown>((resolve) => this.#answers.set(request, resolve));
    await this.session.control.send({ type: "relay-open", request, to, offered: [subprotocol], binding });
    const answer = await answered;
    if (answer.type !== "relay-opened") throw new Fault("unavailable", "refused", { detail: { code: codeOf(answer) } });
    return { id: answer.relay, wire: this.wire(answer.relay), binding };
  }

  /** The wire of a relay id, whoever gave it. */
  wire(id: number): RelayedWire {
    const wire = new RelayedWire({
      headerBytes: relayHeaderBytes,
      send: (message) => {
        writeRelayHeader(message, id);
        this.link.sendRelay(message, true);
      },
      queuedBytes: () => this.link.relayQueuedBytes(id),
      close: () => {
        this.#wires.delete(id);
        void this.session.control.send({ type: "relay-close", relay: id, code: "closed" }).catch(() => undefined); // the session's end
      },
    });
    this.#wires.set(id, wire);
    void this.link.closed.then((fault) => wire.lost(fault));
    return wire;
  }

  /** One relay message, under any id. */
  sendRelay(id: number, inner: Bytes): void {
    const message = new Uint8Array(relayHeaderBytes + inner.length);
    writeRelayHeader(message, id);
    message.set(inner, relayHeaderBytes);
    this.link.sendRelay(message);
  }

  async #listen(): Promise<void> {
    for (;;) {
      const message = await this.session.control.next();
      switch (message.type) {
        case "relay-opened":
        case "relay-refused":
          this.#answers.get(message.request)?.(message);
          break;
        case "relay-offer":
          await this.#offered(message);
          break;
        case "relay-closed":
          this.closed.set(message.relay, message.code);
          this.#wires.get(message.relay)?.lost(new Fault("wire_lost", "closed", { detail: { code: message.code } }));
          break;
        default:
          break;
      }
    }
  }

  async #offered(offer: Offer): Promise<void> {
    const code = this.refuse(offer);
    if (code === "silent") return;
    if (code !== undefined) await this.session.control.send({ type: "relay-close", relay: offer.relay, code });
    else {
      this.offers.push({ offer, wire: this.wire(offer.relay) });
      await this.session.control.send({ type: "relay-accept", relay: offer.relay });
    }
  }
}

/** What `node` brings to an end-to-end channel. */
export function e2eOptions(
  suite: CryptoSuite,
  solaris: FakeSolaris,
  node: FakeAgent,
  terms: { initiator: string; responder: string; binding: Bytes },
): LinkOptions {
  return {
    suite,
    clock: systemClock,
    random: systemRandom,
    terms: { purpose: "e2e", offered: [subprotocol], chosen: subprotocol, ...terms },
    keys: node.keys,
    credential: node.credential,
    authority: createAuthorityView(suite, solaris.authority.identity),
    accepts: () => true,
  };
}

/** An end-to-end link from `a` to `b`, over wires that Nexus relays. */
export async function e2ePair(
  suite: CryptoSuite,
  solaris: FakeSolaris,
  a: RelayNode,
  b: RelayNode,
): Promise<{ a: Link; b: Link; id: number }> {
  const { id, wire, binding } = await a.ask(b.identifier);
  const taken = b.offers.at(-1);
  if (taken === undefined) throw new TypeError("nothing was offered");
  const terms = { initiator: a.identifier, responder: b.identifier, binding };
  const [opened, accepted] = await Promise.all([
    openLink(wire, e2eOptions(suite, solaris, a.agent, terms)),
    acceptLink(taken.wire, e2eOptions(suite, solaris, b.agent, terms)),
  ]);
  return { a: opened, b: accepted, id };
}
function codeOf(answer: ControlDown): string {
  return "code" in answer ? answer.code : "";
}
