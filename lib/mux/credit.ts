import { linkCreditMax, streamCreditBytes, streamInitialCreditBytes, streamsPerLinkMax } from "#lib/limits";

/** What a new stream is promised at once while most of the link's credit is free. */
const openingCreditBytes = 64 * 1_024;
/** A reader that asks for more after a shorter time than this many round trips was held up by its window. */
const growthRoundTrips = 2;
const growthFactor = 4;

/**
 * The credit of one link: the sum of what all streams may still receive or hold unread never exceeds `linkCreditMax`
 * (PROTOCOL §7). Each stream has `streamInitialCreditBytes` for itself; what is beyond comes out of one pot, of which
 * a stream gets at most half of what is left. So the pot never runs dry, and streams that nobody reads stop
 * themselves only.
 */
export class CreditPot {
  readonly sizeBytes: number;
  freeBytes: number;

  constructor(totalBytes = linkCreditMax, streamsMax = streamsPerLinkMax) {
    this.sizeBytes = totalBytes - streamsMax * streamInitialCreditBytes;
    if (this.sizeBytes < 0) throw new RangeError("credit does not reach for that many streams");
    this.freeBytes = this.sizeBytes;
  }
}

/** How far the peer may send on one stream. Offsets count from the stream's start. */
export class ReceiveWindow {
  /** The peer may send up to here; never goes back. */
  allowed: number;
  readonly #pot: CreditPot;
  #sizeBytes: number;
  #fromPot = 0;
  #consumed = 0;
  #grantedMs: number;
  #end = Number.POSITIVE_INFINITY;

  /** `generous`: begins with `openingCreditBytes` if the pot is still nearly full (to be said in a frame). */
  constructor(pot: CreditPot, nowMs: number) {
    this.#pot = pot;
    this.#grantedMs = nowMs;
    this.allowed = streamInitialCreditBytes;
    this.#sizeBytes = streamInitialCreditBytes;
  }

  /** For a stream that goes on on another link: `received` bytes came before, of which `consumed` were read; `ended`: no more will. */
  static at(
    pot: CreditPot,
    nowMs: number,
    { received, consumed, ended }: { readonly received: number; readonly consumed: number; readonly ended: boolean },
  ): ReceiveWindow {
    const window = new ReceiveWindow(pot, nowMs);
    window.#consumed = consumed;
    window.allowed = Math.max(received, consumed + streamInitialCreditBytes);
    if (ended) window.#end = received;
    window.#settle();
    return window;
  }

  /** Widens a new window to its opening size; false when it stays as it is because the pot is in use. */
  widen(): boolean {
    if (this.#pot.freeBytes < this.#pot.sizeBytes * 0.75) return false;
    this.#sizeBytes = openingCreditBytes;
    return this.#grant();
  }

  /** Notes that the reader has taken bytes up to `consumed`; true when the peer should be told a new `allowed`. */
  consume(consumed: number, nowMs: number, roundTripMs: number): boolean {
    this.#consumed = consumed;
    this.#settle();
    if (this.allowed - consumed > this.#sizeBytes / 2) return false;
    const heldUp = nowMs - this.#grantedMs < growthRoundTrips * roundTripMs;
    if (heldUp) this.#sizeBytes = Math.min(this.#sizeBytes * growthFactor, streamCreditBytes);
    this.#grantedMs = nowMs;
    return this.#grant();
  }

  /** The peer said `fin`: no more than `received` will come, so what it may not use is free. */
  close(received: number): void {
    this.#end = received;
    this.#settle();
  }

  /** Gives everything back. */
  release(): void {
    this.#pot.freeBytes += this.#fromPot;
    this.#fromPot = 0;
  }

  #grant(): boolean {
    const share = streamInitialCreditBytes + this.#fromPot + Math.floor(this.#pot.freeBytes / 2);
    const allowed = this.#consumed + Math.min(this.#sizeBytes, share);
    if (allowed <= this.allowed) return false;
    this.allowed = allowed;
    this.#settle();
    return true;
  }

  #settle(): void {
    const fromPot = Math.max(0, Math.min(this.allowed, this.#end) - this.#consumed - streamInitialCreditBytes);
    this.#pot.freeBytes += this.#fromPot - fromPot;
    this.#fromPot = fromPot;
  }
}
