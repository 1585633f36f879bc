import type { Cancel } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { Link } from "#lib/link";
import { RefusedOpening } from "./open-tunnel.ts";
import { type ReadRefusal, unverifiedDelayMsMax } from "./refusal.ts";
import { retryDelayMs } from "./retry.ts";
import { Session, type SessionParts } from "./session.ts";
import { type TunnelEvent, type TunnelState, tunnelTransitions } from "./tunnel-state.ts";

/** A session that held this long proves the way: the back-off begins anew. */
const stableMs = 60_000;
/** A goaway reaches many agents at once: each leaves at a random time within this. */
const leaveWithinMs = 2_000;
/** What can be mended at once (a clock that was just corrected) waits this long. */
const atOnceMs = 100;

export interface TunnelParts extends SessionParts {
  /** Opens a link to the gateway in this slot. Rejects with `RefusedOpening` or a Fault. */
  readonly openLink: (slot: 0 | 1, signal: AbortSignal) => Promise<Link>;
  /** The state changed. */
  readonly onChange?: () => void;
  /** Solaris itself has said that this node is revoked. */
  readonly onRevoked?: () => void;
}

/** How the tunnel stands, for `mercury status`. */
export interface TunnelStatus {
  readonly state: "online" | "connecting" | "waiting" | "stopped";
  /** ms since 1970: since when it is online, or is not, however often it was tried. */
  readonly since: number;
  /** What ended or refused the last try; absent while online. */
  readonly code?: FaultCode;
  readonly reason?: string;
  readonly nextTryAt?: number;
  readonly rttMs?: number;
}

/** Keeps one session open, for ever: connects, comes back after every loss, moves when it is asked to (DESIGN §8). */
export class Tunnel implements AsyncDisposable {
  readonly #parts: TunnelParts;
  #state: TunnelState = "waiting";
  #since: number;
  #session: Session | undefined;
  #sessionSinceMs = 0;
  #attempt = 0;
  #corrected = false;
  #fault: Fault | undefined;
  #nextTryAt: number | undefined;
  #cancelTimer: Cancel = () => undefined;
  #opening = new AbortController();
  #opened: Promise<void> = Promise.resolve();

  constructor(parts: TunnelParts) {
    this.#parts = parts;
    this.#since = parts.clock.now();
  }

  /** Begins; connects at once. */
  start(): void {
    this.#due();
  }

  /** The session that carries lanes now. */
  get session(): Session | undefined {
    return this.#session;
  }

  get status(): TunnelStatus {
    const state = this.#state === "moving" ? "online" : this.#state;
    const since = Math.floor(this.#since);
    if (state === "online") {
      const { count, lastMs } = this.#session?.link.ping() ?? { count: 0, lastMs: 0 };
      return { state, since, ...(count === 0 ? {} : { rttMs: lastMs }) };
    }
    const fault = this.#fault;
    return {
      state,
      since,
      ...(fault === undefined ? {} : { code: fault.code, reason: fault.message }),
      ...(state !== "waiting" || this.#nextTryAt === undefined ? {} : { nextTryAt: Math.floor(this.#nextTryAt) }),
    };
  }

  /** A plugin came or went. */
  lanesChanged(): void {
    this.#session?.lanesChanged();
  }

  /** A lane began or ceased to wait. */
  statusChanged(lane: string): void {
    this.#session?.statusChanged(lane);
  }

  /** Opens a new session in place of the one that is open; at once when there is none. */
  reconnect(): void {
    if (this.#state === "online") this.#leave();
    else if (this.#state === "waiting") this.#due();
  }

  /** Ends for good: lanes stop, Nexus is told. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#step("stop")) return;
    this.#cancelTimer();
    this.#opening.abort(new Fault("closed", "Mercury is shutting down"));
    await this.#opened;
    await this.#session?.close("closed");
    this.#session = undefined;
  }

  #step(event: TunnelEvent): TunnelState | undefined {
    const next = tunnelTransitions[this.#state][event];
    if (next === undefined) return undefined;
    if (next !== this.#state) {
      const isOnline = (state: TunnelState) => state === "online" || state === "moving";
      if (isOnline(next) !== isOnline(this.#state)) this.#since = this.#parts.clock.now();
      this.#state = next;
      this.#parts.onChange?.();
    }
    return next;
  }

  #due(): void {
    this.#cancelTimer();
    if (this.#step("due") === "connecting") this.#open();
  }

  #leave(): void {
    this.#cancelTimer();
    if (this.#step("leave") === "moving") this.#open();
  }

  #open(): void {
    this.#opening = new AbortController();
    this.#opened = this.#try(this.#opening.signal);
  }

  async #try(signal: AbortSignal): Promise<void> {
    // While a session still carries lanes, its successor takes the other slot: neither displaces the other.
    const slot = this.#session === undefined ? 0 : this.#session.slot === 0 ? 1 : 0;
    let session: Session | undefined;
    try {
      session = new Session(this.#parts, await this.#parts.openLink(slot, signal), slot);
      await session.open();
      signal.throwIfAborted();
      await this.#takeOver(session);
    } catch (error) {
      void session?.close("closed");
      if (!signal.aborted) this.#failed(error);
    }
  }

  /** Lanes are open on exactly one tunnel: what the former one still writes is written before the new one opens them. */
  async #takeOver(session: Session): Promise<void> {
    const { clock, log } = this.#parts;
    const former = this.#session;
    await former?.stopLanes();
    if (this.#step("opened") === undefined) throw new Fault("closed");
    this.#session = session;
    this.#sessionSinceMs = clock.monotonic();
    this.#fault = undefined;
    this.#corrected = false;
    log.info("online", { gateway: this.#parts.trust.enrollment.gateway, slot: session.slot });
    session.link.onGoaway((code) => this.#goaway(session, code));
    void session.ended.then((fault) => this.#ended(session, fault));
    session.startLanes();
    void former?.close("closed");
  }

  #goaway(session: Session, code: string): void {
    if (session !== this.#session) return;
    this.#parts.log.info("the gateway asks to go elsewhere", { code });
    this.#later(leaveWithinMs * this.#fraction(), () => this.#leave());
  }

  #ended(session: Session, fault: Fault): void {
    if (session !== this.#session) return;
    const { clock, log } = this.#parts;
    this.#session = undefined;
    this.#fault = fault;
    if (clock.monotonic() - this.#sessionSinceMs >= stableMs) this.#attempt = 0;
    log.warn("offline", { code: fault.code, reason: fault.message });
    if (this.#step("lost") === "waiting") this.#wait(this.#backOff(undefined));
  }

  #failed(error: unknown): void {
    const { log } = this.#parts;
    const refusal = error instanceof RefusedOpening ? error.refusal : undefined;
    const fault = refusal?.fault ?? asFault(error, "internal");
    if (this.#session === undefined) this.#fault = fault;
    if (fault.code === "revoked" && refusal?.answer !== undefined) this.#parts.onRevoked?.();
    const delayMs = this.#delayMs(fault, refusal);
    const nextTryInMs = Math.round(delayMs);
    log.warn("not connected", { code: fault.code, reason: fault.message, nextTryInMs });
    if (this.#step("failed") === "online") this.#later(delayMs, () => this.#leave());
    else this.#wait(delayMs);
  }

  #delayMs(fault: Fault, refusal: ReadRefusal | undefined): number {
    // A clock that Solaris' own time has just corrected is worth a try at once; the same refusal again is not.
    const corrected = refusal?.answer !== undefined && fault.code === "clock" && this.#parts.clock.offsetMs !== 0;
    const mended = corrected && !this.#corrected && this.#session === undefined;
    this.#corrected ||= mended;
    const toldMs = mended ? atOnceMs : refusal?.retryAfterMs;
    if (toldMs === undefined) return this.#backOff(refusal);
    // What is told replaces the back-off, and does not raise it.
    const delayMs = toldMs * (0.9 + 0.2 * this.#fraction());
    return refusal?.answer?.retryAfterMs == null ? Math.min(unverifiedDelayMsMax, delayMs) : delayMs;
  }

  #wait(delayMs: number): void {
    this.#nextTryAt = this.#parts.clock.now() + delayMs;
    this.#later(delayMs, () => this.#due());
  }

  #backOff(refusal: ReadRefusal | undefined): number {
    return retryDelayMs(this.#attempt++, refusal, this.#fraction());
  }

  #later(delayMs: number, act: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.after(Math.min(delayMs, 2 ** 31 - 1), act);
  }

  #fraction(): number {
    const [high = 0, low = 0] = this.#parts.random(2);
    return (high * 256 + low) / 65_536;
  }
}
