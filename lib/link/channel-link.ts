import type { Bytes } from "#lib/bytes";
import { type Established, messageKind, RecordOpener, RecordSealer, type VerifiedPeer, verifyPeer } from "#lib/channel";
import type { Cancel } from "#lib/clock";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { channelAgeMaxMs, channelAgeNoticeMs, clockLeewayMs, closeTimeoutMs, expiryCheckMs } from "#lib/limits";
import { type Log, silentLog } from "#lib/log";
import { goawayPlaintext, Mux, type MuxStream, type RoundTrips } from "#lib/mux";
import { closeCode, type Wire } from "#lib/wire";
import type { Link, LinkOptions, PeerRenewal } from "./link.ts";
import { RelayOutbox, relayHeaderBytes } from "./relay-outbox.ts";
import { StreamIntake } from "./stream-intake.ts";

/** Records being sealed at a time: enough to keep Web Crypto's threads busy. */
const sealingMax = 16;
/** While this many are being sealed, small frames gather instead of going in records of their own. */
const gatherFrom = 2;

/** Memory for records larger than this is used again, and given back once a second. */
const largeBytes = 8 * 1_024;
const restAfterMs = 1_000;

/** Ends after which streams may go on: the path failed, or another channel takes this one's place. */
const pausing: ReadonlySet<FaultCode> = new Set([
  "wire_lost",
  "timeout",
  "record_order",
  "crypto",
  "malformed",
  "limited",
  "displaced",
]);

type TimerName = "age" | "expiry" | "close" | "rest";

/** A link over a channel that is up. */
export class ChannelLink implements Link {
  peer: VerifiedPeer;
  readonly handshakeHash: Bytes;
  readonly closed: Promise<Fault>;
  readonly #initiator: boolean;
  readonly #options: LinkOptions;
  readonly #wire: Wire;
  readonly #log: Log;
  readonly #mux: Mux;
  readonly #intake: StreamIntake;
  #timers: Partial<Record<TimerName, Cancel | undefined>> = {};
  /** Until then (monotonic) a credential that had run out at the opening may be renewed. */
  #renewedByMs = 0;
  #sealer: RecordSealer | undefined;
  #opener: RecordOpener | undefined;
  #settle: (fault: Fault) => void = () => undefined;
  #fault: Fault | undefined;
  /** Why it is going to end as soon as all that was written has left. */
  #closing: Fault | undefined;
  #pumping = false;
  #onGoaway: (code: string) => void = () => undefined;
  #onRelay: ((message: Bytes) => void) | undefined;
  /** Made at the first relayed message: most links of a gateway have none. */
  #relayed: RelayOutbox | undefined;

  private constructor(wire: Wire, established: Established, initiator: boolean, options: LinkOptions) {
    this.#wire = wire;
    this.#initiator = initiator;
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.peer = established.peer;
    this.handshakeHash = established.keys.handshakeHash;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const { clock, random, creditBytes, streamsMax, resume } = options;
    resume?.ready();
    this.#intake = new StreamIntake(clock);
    this.#mux = new Mux({
      initiator,
      clock,
      random,
      ...(creditBytes === undefined ? {} : { creditBytes }),
      ...(streamsMax === undefined ? {} : { streamsMax }),
      ...(resume === undefined
        ? {}
        : {
            resume: {
              held: resume.parked.take(),
              resumable: (name) => resume.resumable(name),
              refusal: (stream) => resume.refusal(stream, this.peer),
            },
          }),
      events: {
        wake: () => this.#wake(),
        stream: (stream) => this.#intake.take(stream),
        goaway: (code, final) => this.#heardGoaway(code, final),
        failed: (fault) => this.#fail(fault),
      },
    });
  }

  /** Makes the link; the caller passes messages of the wire to `take` and its end to `lost`. */
  static async create(
    wire: Wire,
    established: Established,
    initiator: boolean,
    options: LinkOptions,
  ): Promise<ChannelLink> {
    const link = new ChannelLink(wire, established, initiator, options);
    await link.#start(established);
    return link;
  }

  get traffic(): { readonly sentBytes: number; readonly receivedBytes: number } {
    return this.#mux.traffic;
  }

  get streams(): number {
    return this.#mux.streams;
  }

  /** A message of the wire. */
  take(message: Bytes): void {
    if (this.#fault !== undefined) return;
    if (message[0] === messageKind.record) this.#opener?.open(message);
    else if (message[0] === messageKind.relay && this.#onRelay !== undefined && message.length > relayHeaderBytes) {
      this.#mux.receivedBeside(message.length);
      this.#onRelay(message);
    } else this.#fail(new Fault("malformed", "a message that has no place in a channel"));
  }

  /** The wire's end. What came before it is read first: it may say why. */
  lost(fault: Fault): void {
    this.#sealer?.end();
    const end = () => {
      this.#end(this.#closing ?? fault);
      this.#cancelTimers(); // of a close that can't be said any more
    };
    if (this.#opener === undefined || this.#fault !== undefined) end();
    else this.#opener.drain(end);
  }

  open(name?: Bytes): MuxStream {
    return this.#mux.open(name);
  }

  onStream(handler: ((stream: MuxStream) => void) | undefined): void {
    this.#intake.handle(handler);
  }

  onGoaway(handler: (code: string) => void): void {
    this.#onGoaway = handler;
  }

  onRelay(handler: (message: Bytes) => void): void {
    this.#onRelay = handler;
  }

  sendRelay(message: Bytes, lent = false): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (message[0] !== messageKind.relay || message.length <= relayHeaderBytes)
      throw new RangeError("not a relay message");
    this.#relayed ??= new RelayOutbox({
      room: (bytes) => this.#mux.roomBeside(bytes),
      send: (one) => this.#sendBeside(one),
    });
    this.#relayed.send(message, lent);
  }

  relayQueuedBytes(id: number): number {
    return this.#relayed?.queuedBytes(id) ?? 0;
  }

  dropRelay(id: number): void {
    this.#relayed?.drop(id);
  }

  bufferedBytes(): number {
    return this.#wire.bufferedBytes();
  }

  ping(): RoundTrips {
    return this.#mux.roundTrips;
  }

  probe(): void {
    this.#mux.ping();
  }

  goaway(code: FaultCode): void {
    this.#mux.goaway(code);
  }

  async renewPeer({ credential, chain, authority }: PeerRenewal): Promise<void> {
    const { suite, terms, accepts, clock, authority: view } = this.#options;
    const { identity } = this.peer;
    const shown = { credential, chain: chain ?? identity.chain, authority: authority ?? view.identity.chain };
    const demands = { suite, authority: view, terms, initiator: this.#initiator, accepts, now: clock.now() };
    const peer = await verifyPeer(shown, { proved: identity }, demands);
    await this.#options.freshness?.(peer);
    await this.#options.policy?.(peer);
    this.peer = peer;
    this.#watchExpiry();
  }

  end(code: FaultCode): void {
    this.#fail(new Fault(code, "ended here"));
  }

  async close(code: FaultCode): Promise<void> {
    if (this.#fault === undefined && this.#closing === undefined) {
      this.#closing = new Fault(code, "closed here");
      this.#later("close", closeTimeoutMs, () => this.#endClose());
      this.#wake();
    }
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close("closed");
  }

  async #start({ keys }: Established): Promise<void> {
    const { suite, clock, epochRecords, ageMaxMs = channelAgeMaxMs } = this.#options;
    const failed = (fault: Fault) => this.#fail(fault);
    const sealed = { record: (record: Bytes) => this.#send(record), failed };
    const opened = { plaintext: (plaintext: Bytes) => this.#mux.receive(plaintext), failed };
    this.#sealer = await RecordSealer.create(suite, keys.sendKey, sealed, epochRecords, this.#wire.headerBytes);
    this.#opener = await RecordOpener.create(suite, keys.receiveKey, clock, opened, epochRecords);
    this.#watchAge(ageMaxMs);
    this.#renewedByMs = clock.monotonic() + (this.#options.renewWithinMs ?? 0);
    this.#watchExpiry();
    this.#wake(); // streams of a former link have something to say
  }

  #watchAge(ageMaxMs: number): void {
    this.#later("age", ageMaxMs - channelAgeNoticeMs, () => {
      this.#onGoaway("draining");
      this.#later("age", channelAgeNoticeMs, () => this.#fail(new Fault("closed", "the channel has reached its age")));
    });
  }

  #watchExpiry(): void {
    const { clock } = this.#options;
    const graceMs = this.#renewedByMs - clock.monotonic();
    const leftMs = Math.max(graceMs, this.peer.credential.exp * 1_000 + clockLeewayMs - clock.now());
    if (leftMs <= 0) this.#fail(new Fault("credential_expired", "the peer's credential has run out"));
    else this.#later("expiry", Math.min(leftMs, expiryCheckMs), () => this.#watchExpiry());
  }

  #wake(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => this.#pump());
  }

  #pump(): void {
    this.#pumping = false;
    const sealer = this.#sealer;
    if (sealer === undefined || this.#fault !== undefined) return;
    while (sealer.inFlight < sealingMax) {
      const plaintext = this.#mux.nextRecord(sealer.inFlight >= gatherFrom);
      if (plaintext === undefined) break;
      sealer.seal(plaintext);
      if (plaintext.length > largeBytes && this.#timers.rest === undefined) this.#restLater();
    }
    if (this.#relayed !== undefined) this.#drainRelayed(this.#relayed);
    if (sealer.inFlight > 0) return;
    if (this.#closing !== undefined && this.#mux.idle) this.#endClose();
  }

  #drainRelayed(relayed: RelayOutbox): void {
    try {
      relayed.drain();
    } catch (error) {
      if (!(error instanceof Fault)) throw error; // the link has ended by it
    }
  }

  #sendBeside(message: Bytes): void {
    try {
      this.#wire.send(message);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#end(error);
      throw error;
    }
    this.#mux.sentBeside(message.length);
  }

  /** Gives back what large records were put together in, until there is nothing any more: an idle link is small. */
  #restLater(): void {
    this.#later("rest", restAfterMs, () => {
      this.#timers.rest = undefined;
      const held = [this.#mux.rest(), this.#sealer?.rest()];
      if (held.includes(true)) this.#restLater();
    });
  }

  #send(record: Bytes): void {
    const wire = this.#wire;
    if (wire.sendBehind === undefined) wire.send(record);
    else wire.sendBehind(record);
    if (this.#fault === undefined) this.#wake();
    else if (this.#sealer?.inFlight === 0) this.#wire.close(closeCode.fault, this.#fault.code);
  }

  /** All that was written has left, or its time is over. */
  #endClose(): void {
    if (this.#closing !== undefined) this.#fail(this.#closing);
  }

  #heardGoaway(code: string, final: boolean): void {
    if (!final) {
      this.#onGoaway(code);
      return;
    }
    const known = isFaultCode(code) ? code : "closed";
    this.#end(new Fault(known, "closed by the peer", { detail: { code } }));
    this.#sealer?.end();
    this.#wire.close(closeCode.normal, "");
  }

  /** Ends for a reason of this side: the peer is told in a last record, then the wire closes. */
  #fail(fault: Fault): void {
    if (this.#fault !== undefined) return;
    const sealer = this.#sealer;
    this.#end(fault);
    if (sealer === undefined || fault.code === "wire_lost") {
      this.#wire.close(closeCode.fault, fault.code);
      return;
    }
    this.#later("close", closeTimeoutMs, () => this.#wire.close(closeCode.fault, fault.code));
    sealer.seal(goawayPlaintext(fault.code));
  }

  #end(fault: Fault): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#cancelTimers();
    this.#intake.stop();
    this.#opener?.end();
    this.#relayed?.clear();
    if (pausing.has(fault.code)) this.#options.resume?.parked.park(this.#mux.takeResumable());
    this.#mux.end(fault);
    this.#log.debug("link ended", { code: fault.code, peer: this.peer.identity.identifier, reason: fault.message });
    this.#settle(fault);
  }

  #cancelTimers(): void {
    for (const cancel of Object.values(this.#timers)) cancel?.();
    this.#timers = {};
  }

  #later(name: TimerName, delayMs: number, act: () => void): void {
    this.#timers[name]?.();
    this.#timers[name] = this.#options.clock.after(delayMs, act);
  }
}
