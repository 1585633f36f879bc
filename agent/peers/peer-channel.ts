import type { Bytes } from "#lib/bytes";
import { type Cancel, sleep } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { peerIdleMs, peerOpenTimeoutMs } from "#lib/limits";
import {
  acceptLink,
  type Link,
  type LinkOptions,
  type MessageStream,
  type MuxStream,
  messageStream,
  openLink,
  ParkedStreams,
  subprotocol,
  type VerifiedPeer,
} from "#lib/link";
import { type PeerMessage, peerMessageSchema, peerStream } from "#lib/session";
import type { Wire } from "#lib/wire";
import type { RelayOffer, Relays } from "../tunnel/relays.ts";
import type { PeerParts } from "./peer-channels.ts";

const idleLookMs = 10_000;
/** The other node's own dial is on its way to here when ours was refused for it. */
const crossedWaitMs = 300;

/** Streams wait for a channel: it is tried again this soon, and then less often. Whose identifier is greater lets the other begin. */
const redialMinMs = 100;
const redialMaxMs = 1_000;
const redialPatienceMs = 400;

/** Where the channel stands; `resting`: asked to be closed, nothing is opened on it meanwhile. */
interface Up {
  readonly link: Link;
  readonly initiator: boolean;
  /** What this node says; the other opens one of its own. */
  readonly control: MessageStream<PeerMessage, PeerMessage>;
  heard: boolean;
  /** The own credential as the other has it. */
  shown: string;
  idleSinceMs: number;
  resting: PromiseWithResolvers<void> | undefined;
}

/**
 * The one channel between this node and another, whoever began it: opened at the first use, shared by all portals of the two,
 * closed when nothing has used it for `peerIdleMs`, opened again when it is needed.
 */
export class PeerChannel {
  readonly identifier: string;
  readonly #parts: PeerParts;
  readonly #over = new AbortController();
  /** Every link that has not ended: the one in use, and one that only finishes what is open on it. */
  readonly #links = new Set<Up>();
  /** Streams whose channel was lost: they go on on the next one. */
  readonly #parked: ParkedStreams;
  #redialing = false;
  #up: Up | undefined;
  #opening: Promise<Link> | undefined;
  #dialing: AbortController | undefined;
  #accepting: Promise<Link> | undefined;
  #cancelLook: Cancel = () => undefined;

  constructor(parts: PeerParts, identifier: string) {
    this.#parts = parts;
    this.identifier = identifier;
    this.#parked = new ParkedStreams(parts.clock);
  }

  /** Whether a channel is up. */
  get open(): boolean {
    return this.#up !== undefined;
  }

  /** Streams of portals that are open on it. */
  get streams(): number {
    const up = this.#up;
    return up === undefined ? this.#parked.size : Math.max(0, up.link.streams - (up.heard ? 2 : 1));
  }

  /** The link; opens one where there is none. Rejects with the Fault of the relay's refusal or of the handshake. */
  async link(): Promise<Link> {
    this.#over.signal.throwIfAborted();
    await this.#up?.resting?.promise;
    if (this.#up !== undefined) return this.#up.link;
    this.#opening ??= this.#begin();
    return this.#opening;
  }

  /** The other node asks for a channel. If both ask at once the one begun by the smaller identifier stays (PROTOCOL §9). */
  offered(offer: RelayOffer, relays: Relays): void {
    if (this.#over.signal.aborted) {
      relays.refuse(offer, "closed");
      return;
    }
    const own = this.#parts.trust.keys.identity.identifier;
    if (this.#dialing !== undefined && own < this.identifier) {
      relays.refuse(offer, "conflict");
      return;
    }
    this.#dialing?.abort(new Fault("conflict", "the other node's channel stays"));
    const accepting = this.#accept(relays.accept(offer), Uint8Array.from(offer.binding), offer.offered);
    accepting.catch((error: unknown) => this.#log("an offered channel failed", error));
    this.#accepting = accepting;
    const settled = () => {
      if (this.#accepting === accepting) this.#accepting = undefined;
    };
    accepting.then(settled, settled);
  }

  /** The list or the own credential is another. */
  trustChanged(): void {
    const { trust } = this.#parts;
    if (trust.isRevoked(this.identifier)) this.end("revoked");
    else this.#showCredential();
  }

  /** Ends the channel with a code; the next use opens another. */
  end(code: FaultCode): void {
    this.#up = undefined;
    this.#parked.end(new Fault(code, "the channel was ended"));
    for (const { link } of this.#links) void link.close(code);
  }

  /** Ends for good. */
  async close(code: FaultCode): Promise<void> {
    this.#over.abort(new Fault(code, "the channel is not wanted any more"));
    this.#dialing?.abort(this.#over.signal.reason);
    this.#cancelLook();
    this.#parked.end(new Fault(code, "the channel is not wanted any more"));
    await Promise.all([...this.#links].map(({ link }) => link.close(code)));
  }

  #begin(): Promise<Link> {
    const opening = this.#open().finally(() => {
      this.#opening = undefined;
    });
    opening.catch(() => undefined); // whoever waits is told
    return opening;
  }

  /** The next channel is up: both ends end the one before, so that its streams go on there. */
  #endFormer(): void {
    this.#up?.resting?.resolve();
    this.#up = undefined;
    for (const { link } of this.#links) link.end("displaced");
  }

  /** Opens a channel for the streams that wait for one, again and again while there are any. */
  async #redial(): Promise<void> {
    if (this.#redialing) return;
    this.#redialing = true;
    const { clock, trust } = this.#parts;
    const { signal } = this.#over;
    let delayMs = redialMinMs;
    try {
      if (trust.keys.identity.identifier > this.identifier) await sleep(clock, redialPatienceMs, { signal });
      while (this.#parked.size > 0 && this.#up === undefined) {
        try {
          await this.link();
        } catch {
          await sleep(clock, delayMs, { signal }); // offline, most often: the tunnel of one of the two is on its way back
          delayMs = Math.min(redialMaxMs, delayMs * 1.5);
        }
      }
    } catch {
      // Over: nobody waits any more.
    } finally {
      this.#redialing = false;
    }
  }

  /** Dials; where the other node's dial has come first, that channel is taken. */
  async #open(): Promise<Link> {
    const { clock } = this.#parts;
    const untilMs = clock.monotonic() + peerOpenTimeoutMs;
    for (;;) {
      try {
        return await (this.#accepting ?? this.#dial());
      } catch (error) {
        const fault = asFault(error, "internal");
        if (fault.code !== "conflict" || clock.monotonic() >= untilMs) throw fault;
      }
      if (this.#accepting === undefined) await sleep(clock, crossedWaitMs, { signal: this.#over.signal });
      if (this.#up !== undefined) return this.#up.link;
    }
  }

  async #dial(): Promise<Link> {
    const { random, trust, relays } = this.#parts;
    const dialing = new AbortController();
    this.#dialing = dialing;
    try {
      const binding = random(16);
      const wire = await raced(relays().ask(this.identifier, binding), dialing.signal);
      const initiator = trust.keys.identity.identifier;
      const terms = { initiator, responder: this.identifier, offered: [subprotocol], binding };
      const options = this.#options(terms);
      const link = await openLink(wire, { ...options, signal: dialing.signal });
      return await this.#adopt(link, true, options.credential);
    } finally {
      if (this.#dialing === dialing) this.#dialing = undefined;
    }
  }

  async #accept(wire: Wire, binding: Bytes, offered: readonly string[]): Promise<Link> {
    const responder = this.#parts.trust.keys.identity.identifier;
    const terms = { initiator: this.identifier, responder, offered, binding };
    const options = this.#options(terms);
    const link = await acceptLink(wire, { ...options, signal: this.#over.signal });
    return this.#adopt(link, false, options.credential);
  }

  #options(terms: Omit<LinkOptions["terms"], "purpose" | "chosen">): LinkOptions {
    const { suite, clock, random, log, trust, names } = this.#parts;
    return {
      suite,
      clock,
      random,
      log,
      terms: { purpose: "e2e", chosen: subprotocol, ...terms },
      keys: trust.keys,
      credential: trust.credential.jws,
      authority: trust.authority,
      accepts: names,
      freshness: (peer) => this.#fresh(peer),
      policy: (peer) => this.#sameCustomer(peer),
      resume: {
        parked: this.#parked,
        ready: () => this.#endFormer(),
        resumable: (name) => !isControl(name),
        refusal: (stream, peer) => this.#parts.resumed(stream, peer),
      },
    };
  }

  /** A list that the peer's credential names and that is not held is waited for (PROTOCOL §3); the handshake's deadline runs. */
  async #fresh({ credential, authorityExtended }: VerifiedPeer): Promise<void> {
    const { trust, demandList } = this.#parts;
    if (authorityExtended) await trust.keepAuthority();
    if (credential.revocations > trust.freshness.revocations) await demandList(credential.revocations);
    if (trust.isRevoked(this.identifier)) throw new Fault("revoked");
  }

  /** Built in, before any policy: both sides have a customer and it is the same (PROTOCOL §10). */
  #sameCustomer({ credential }: VerifiedPeer): void {
    const own = this.#parts.trust.credential.claims?.attrs.customer_id;
    const theirs = credential.attrs.customer_id;
    if (typeof own !== "string" || own === "" || own !== theirs)
      throw new Fault("forbidden", "a node of another customer");
  }

  async #adopt(link: Link, initiator: boolean, shown: string): Promise<Link> {
    const { clock, log } = this.#parts;
    if (this.#over.signal.aborted) {
      await link.close("closed");
      throw this.#over.signal.reason;
    }
    const former = this.#up;
    const control = messageStream(link.open(peerStream), { incoming: peerMessageSchema, outgoing: peerMessageSchema });
    const up: Up = {
      link,
      initiator,
      control,
      heard: false,
      shown,
      idleSinceMs: clock.monotonic(),
      resting: undefined,
    };
    this.#up = up;
    this.#links.add(up);
    link.onStream((stream) => this.#taken(up, stream));
    link.onGoaway(() => {
      // It nears its age: another takes its place, and what is open on this one goes on there.
      if (this.#up === up) this.#opening ??= this.#begin();
    });
    void link.closed.then((fault) => this.#closed(up, fault));
    former?.resting?.resolve();
    log.info("a channel is open", { peer: this.identifier, initiator });
    this.#showCredential(); // it may have been renewed while the handshake went on
    this.#look();
    return link;
  }

  #closed(up: Up, fault: Fault): void {
    up.resting?.resolve();
    this.#links.delete(up);
    if (this.#up === up) this.#up = undefined;
    const { code, message: reason } = fault;
    this.#parts.log.info("a channel has ended", { peer: this.identifier, code, reason, paused: this.#parked.size });
    if (this.#parked.size > 0) void this.#redial();
  }

  #taken(up: Up, stream: MuxStream): void {
    if (!isControl(stream.name)) this.#parts.taken(stream, up.link);
    else if (up.heard) stream.reset("conflict");
    else {
      up.heard = true;
      void this.#listen(up, stream);
    }
  }

  async #listen(up: Up, stream: MuxStream): Promise<void> {
    const said = messageStream(stream, { incoming: peerMessageSchema, outgoing: peerMessageSchema });
    try {
      for await (const message of said.receive()) await this.#take(up, message);
      await up.link.close("closed");
    } catch (error) {
      await up.link.close(asFault(error, "internal").code); // no effect when the link's end is what it threw
    }
  }

  async #take(up: Up, message: PeerMessage): Promise<void> {
    switch (message.type) {
      case "credential": {
        const { credential, chain, authority } = message;
        try {
          await up.link.renewPeer({
            credential,
            chain: Uint8Array.from(chain),
            authority: Uint8Array.from(authority),
          });
          this.#parts.renewed(up.link.peer);
        } catch (error) {
          this.#log("a renewed credential was not taken", error); // the channel goes on until the one before runs out
          if (asFault(error, "internal").code === "revoked") this.end("revoked");
        }
        break;
      }
      case "rest":
        if (this.streams === 0 && this.#up === up) this.end("closed");
        else this.#send(up, { type: "busy" });
        break;
      case "busy":
        up.resting?.resolve();
        up.resting = undefined;
        break;
    }
  }

  #showCredential(): void {
    const { keys, credential, authority } = this.#parts.trust;
    const { chain } = keys.identity;
    const message = {
      type: "credential",
      credential: credential.jws,
      chain,
      authority: authority.identity.chain,
    } as const;
    for (const up of this.#links) {
      if (up.shown === message.credential) continue;
      up.shown = message.credential;
      this.#send(up, message);
    }
  }

  #send({ control }: Up, message: PeerMessage): void {
    control.send(message).catch((error: unknown) => this.#log("not said to a peer", error)); // its link has ended
  }

  #look(): void {
    const { clock } = this.#parts;
    this.#cancelLook();
    this.#cancelLook = clock.after(idleLookMs, () => {
      const up = this.#up;
      if (up === undefined) return;
      const now = clock.monotonic();
      if (this.streams > 0) up.idleSinceMs = now;
      else if (up.initiator && up.resting === undefined && now - up.idleSinceMs >= (this.#parts.idleMs ?? peerIdleMs)) {
        up.resting = Promise.withResolvers();
        this.#send(up, { type: "rest" });
      }
      this.#look();
    });
  }

  #log(what: string, error: unknown): void {
    const { code, message } = asFault(error, "internal");
    this.#parts.log[code === "internal" ? "error" : "info"](what, { peer: this.identifier, code, reason: message });
  }
}

function isControl(name: Bytes): boolean {
  return peerStream.every((byte, index) => name[index] === byte);
}

/** Rejects with the signal's reason when that aborts first; what comes too late is closed. */
function raced(asked: Promise<Wire>, signal: AbortSignal): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    asked.then((wire) => {
      if (signal.aborted) wire.close(1000, "");
      else resolve(wire);
    }, reject);
  });
}
