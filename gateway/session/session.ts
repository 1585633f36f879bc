import { fromBase64url } from "#lib/bytes";
import { asFault, Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { relayOpensBurst, relayOpensPerSecond } from "#lib/limits";
import { type Link, type MessageStream, type MuxStream, messageStream, type VerifiedPeer } from "#lib/link";
import {
  type ControlDown,
  type ControlUp,
  controlDownSchema,
  controlUpSchema,
  type OpenSession,
  sessionStreams,
} from "#lib/session";
import { DownBridge } from "../bridge/down-bridge.ts";
import { UpBridge } from "../bridge/up-bridge.ts";
import type { RelayRequest, RelaySession } from "../relay/relay-switch.ts";
import { TunnelRelays } from "../relay/tunnel-relays.ts";
import type { Appointment } from "../replica/replica.ts";
import type { PublishedList } from "../replica/revocation-list.ts";
import { bytesOf, type SessionKey } from "../replica/solaris-client.ts";
import type { Grant } from "../tunnel/opening.ts";
import { TokenBucket } from "../tunnel/token-bucket.ts";
import { Orders } from "./orders.ts";
import type { SessionParts } from "./session-parts.ts";

type State = "greeting" | "welcomed" | "readying" | "open" | "ended";

/** Which messages the control stream may bring in which state; any other ends the session. */
const expected: Readonly<Record<State, readonly ControlUp["type"][]>> = {
  greeting: ["hello"],
  welcomed: ["ready"],
  readying: [],
  open: ["refresh", "health", "relay-open", "relay-accept", "relay-close"],
  ended: [],
};

/** Refusals of a refresh after which the session must not go on. */
const endingCodes: ReadonlySet<FaultCode> = new Set(["revoked", "suspended", "licence_expired", "displaced", "copied"]);

/** From the finished handshake to `opened` a session has this long, ms. */
const openingTimeoutMs = 20_000;

/** One agent's tunnel that ends here: control stream, lanes, state (PROTOCOL §6). Holds no timer of its own. */
export class Session implements RelaySession {
  readonly key: SessionKey;
  readonly customerId: string;
  readonly identifier: string;
  readonly address: string;
  /** ms since 1970 */
  readonly sinceMs: number;
  /** Whether the next digest should mention it. */
  changed = true;
  readonly #parts: SessionParts;
  readonly #link: Link;
  readonly #openByMs: number;
  #grant: Grant | undefined;
  #state: State = "greeting";
  #control: MessageStream<ControlDown, ControlUp> | undefined;
  #host = { version: "", platform: "", hostname: "" };
  #health: OpenSession["health"];
  #listSent: number;
  #down: DownBridge | undefined;
  #up: UpBridge | undefined;
  #orders: Orders | undefined;
  /** Made at the first use: most sessions of a replica relay nothing. */
  #relays: TunnelRelays | undefined;
  #relayOpens: TokenBucket | undefined;

  constructor(parts: SessionParts, link: Link, grant: Grant, address: string) {
    const { agentId, slot, epoch } = grant;
    this.key = { agentId, slot, epoch };
    this.customerId = grant.customerId;
    this.identifier = link.peer.identity.identifier;
    this.address = address;
    this.sinceMs = parts.clock.now();
    this.#parts = parts;
    this.#link = link;
    this.#grant = grant;
    this.#openByMs = parts.clock.monotonic() + openingTimeoutMs;
    this.#listSent = link.peer.credential.revocations;
    parts.registry.add(this);
    link.onStream((stream) => this.#stream(stream));
    link.onRelay((message) => this.#relayed(() => this.relays.take(message)));
    void link.closed.then((fault) => this.#ended(fault.code));
  }

  /** Who is at the other end, as its newest credential says. */
  get peer(): VerifiedPeer {
    return this.#link.peer;
  }

  /** Whether data may flow. */
  get open(): boolean {
    return this.#state === "open";
  }

  /** The wires that are relayed over this tunnel. */
  get relays(): TunnelRelays {
    const link = this.#link;
    this.#relays ??= new TunnelRelays({
      send: (message) => this.send(message),
      sendRelay: (message) => link.sendRelay(message),
      dropRelay: (id) => link.dropRelay(id),
    });
    return this.#relays;
  }

  /** What the digest says of it. */
  describe(): OpenSession {
    const { traffic } = this.#link;
    const { lastMs, p50Ms, p99Ms, count } = this.#link.ping();
    return {
      ...this.key,
      address: this.address,
      since: this.sinceMs,
      ...this.#host,
      ...(count === 0 ? {} : { rttMs: { last: lastMs, p50: p50Ms, p99: p99Ms } }),
      bytesUp: traffic.receivedBytes,
      bytesDown: traffic.sentBytes,
      ...(this.#health === undefined ? {} : { health: this.#health }),
    };
  }

  /** Ends the session; the agent is told why. No effect when it has ended. */
  end(code: FaultCode): void {
    if (this.#state === "ended") return;
    void this.#link.close(code);
    this.#ended(code);
  }

  /** Asks the agent to go elsewhere; what is open stays open. */
  goaway(): void {
    this.#link.goaway("draining");
  }

  /** To be called each second: ends what took too long to open. */
  tick(monotonicMs: number): void {
    if (this.#state !== "open" && monotonicMs > this.#openByMs) this.end("timeout");
  }

  /** Shows the replica's renewed credential, without which the agent would end the channel with the old one. */
  showPeer({ credential }: Appointment): void {
    if (this.#state === "open") this.send({ type: "peer", credential, authority: this.#parts.authority().chain });
  }

  /** The broker hints at something new for the agent. */
  deliverOrders(): void {
    void this.#orders?.deliver();
  }

  /** Pushes a newer revocation list. */
  pushRevocations({ number, statement, authority }: PublishedList): void {
    if (this.#state !== "open" || number <= this.#listSent) return;
    this.#listSent = number;
    this.send({ type: "revocations", statement, authority });
  }

  /** Queues a message on the control stream; one that can't be sent any more has its session's end as answer. */
  send(message: ControlDown): void {
    this.#control?.send(message).catch((error) => this.failed(error));
  }

  #stream(stream: MuxStream): void {
    const known = stream.name;
    if (same(known, sessionStreams.control) && this.#control === undefined) {
      this.#control = messageStream(stream, { incoming: controlUpSchema, outgoing: controlDownSchema });
      void this.#listen(this.#control);
    } else if (this.#state !== "open") stream.reset("forbidden");
    else if (same(known, sessionStreams.down) && this.#down === undefined)
      this.#down = new DownBridge(this.#parts, this.key.agentId, stream, this);
    else if (same(known, sessionStreams.up) && this.#up === undefined)
      this.#up = new UpBridge(this.#parts, this.key.agentId, stream, this);
    else if (isOwn(known)) stream.reset("not_found");
    else void this.#parts.outlets.serve(this, stream);
  }

  async #listen(control: MessageStream<ControlDown, ControlUp>): Promise<void> {
    try {
      for await (const message of control.receive()) {
        if (!expected[this.#state].includes(message.type))
          throw new Fault("bad_request", `${message.type} while ${this.#state}`);
        await this.#take(message);
      }
      this.end("closed");
    } catch (error) {
      this.failed(error);
    }
  }

  async #take(message: ControlUp): Promise<void> {
    switch (message.type) {
      case "hello":
        this.#greet(message);
        break;
      case "ready":
        await this.#ready(message.epoch);
        break;
      case "health": {
        const { type: _, ...health } = message;
        this.#health = health;
        this.changed = true;
        break;
      }
      case "refresh":
        await this.#refresh(message.chain);
        break;
      case "relay-open":
        this.#openRelay(message);
        break;
      case "relay-accept":
        this.relays.accept(message.relay);
        break;
      case "relay-close":
        this.relays.close(message.relay, isFaultCode(message.code) ? message.code : "closed");
        break;
    }
  }

  #greet({ version, platform, hostname }: Extract<ControlUp, { type: "hello" }>): void {
    const grant = this.#grant;
    const continuity = fromBase64url(grant?.continuity ?? "");
    if (grant === undefined || continuity === undefined) throw new Fault("internal", "a grant without continuity");
    this.#host = { version, platform, hostname };
    this.#state = "welcomed";
    const { agentId, epoch, serverTime, lanes, desired, revocations } = grant;
    this.send({ type: "welcome", agentId, epoch, continuity, serverTime, lanes, desired, revocations });
    this.#grant = undefined; // the watermarks of 64 lanes are not kept for the life of the session
  }

  async #ready(epoch: number): Promise<void> {
    const { solaris, presence, registry } = this.#parts;
    if (epoch !== this.key.epoch) throw new Fault("bad_request", "ready for another epoch");
    this.#state = "readying";
    await solaris.ready(this.key);
    await presence.claim(this.key);
    if (this.#is("ended")) {
      presence.release(this.key);
      return;
    }
    if (!registry.claim(this)) throw new Fault("displaced");
    this.#state = "open";
    this.changed = true;
    this.#orders = new Orders(this.#parts, this.key.agentId, this);
    this.send({ type: "opened" });
    const list = this.#parts.revocations.published;
    if (list !== undefined) this.pushRevocations(list);
    await this.#orders.deliver();
  }

  async #refresh(chain: Uint8Array | undefined): Promise<void> {
    try {
      const answer = await this.#parts.solaris.refresh(this.key, chain);
      const authority = bytesOf(answer.authority);
      const { credential, revocations } = answer;
      await this.#link.renewPeer({ credential, authority, ...(chain ? { chain: Uint8Array.from(chain) } : {}) });
      await this.#parts.revocations.take(revocations, this.#parts.authority());
      this.#listSent = Math.max(this.#listSent, this.#parts.revocations.number);
      this.send({ type: "credential", credential, authority, revocations });
    } catch (error) {
      const { code } = asFault(error, "unavailable");
      this.send({ type: "problem", about: "refresh", code });
      if (endingCodes.has(code)) this.end(code);
    }
  }

  #openRelay(message: RelayRequest): void {
    const now = this.#parts.clock.monotonic();
    this.#relayOpens ??= new TokenBucket(relayOpensPerSecond, relayOpensBurst, now);
    if (this.#relayOpens.take(now)) void this.#parts.relay.open(this, message);
    else this.send({ type: "relay-refused", request: message.request, code: "limited" });
  }

  /** A message beside the channel: before the session is open none has a place. */
  #relayed(take: () => void): void {
    try {
      if (this.#state !== "open") throw new Fault("bad_request", "relayed before the session is open");
      take();
    } catch (error) {
      this.failed(error);
    }
  }

  #is(state: State): boolean {
    return this.#state === state; // a method: what awaits between may have changed it
  }

  /** Something of it failed: it ends, with the fault's code. */
  failed(error: unknown): void {
    const fault = asFault(error, "internal");
    if (fault.code === "internal") this.#parts.log.error("a session failed", { agent: this.key.agentId, error });
    this.end(fault.code);
  }

  /** Everything that the session held, given back once. */
  #ended(code: FaultCode): void {
    if (this.#state === "ended") return;
    const wasReady = this.#state === "open";
    this.#state = "ended";
    this.#relays?.lost("wire_lost");
    this.#orders?.close();
    this.#up?.close();
    const lanesClosed = this.#down?.close() ?? Promise.resolve();
    this.#parts.registry.remove(this, wasReady, code, lanesClosed);
    if (wasReady) this.#parts.presence.release(this.key);
  }
}

/** Names of the session's own streams, which are none of a portal's connection. */
const isOwn = (name: Uint8Array): boolean => Object.values(sessionStreams).some((known) => same(name, known));

function same(name: Uint8Array, wellKnown: Uint8Array): boolean {
  return wellKnown.every((byte, index) => name[index] === byte);
}
