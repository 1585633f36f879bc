import type { Cancel, Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import {
  pingIntervalMs,
  pingTimeoutMs,
  recordPlaintextBytesMax,
  unackedBytesMax,
  unackedBytesMin,
  unackedQueueMs,
} from "#lib/limits";

/** Round trips of the last pings, in ms; all 0 before the first pong. */
export interface RoundTrips {
  readonly lastMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly count: number;
}

interface Ping {
  readonly number: number;
  readonly sentMs: number;
  /** Bytes sent through the record that carried it. */
  readonly sent: number;
  /** What was acknowledged, and since when, as it left: from these the delivery rate follows. */
  readonly acked: number;
  readonly ackedMs: number;
  readonly idle: boolean;
  readonly held: boolean;
}

/** Once a rate is known, this much may be under way however slow the path is: two small records. */
const knownUnackedBytesMin = 16 * 1_024;
const recordBytesMin = 4_096;
/** Data that no ping follows gets one after this. */
const ackDelayMs = 500;
const ratesKept = 8;
const roundTripsKept = 128;
const pingsMax = 16;
const lateTickMs = 1_000;
/** What is sent beside the channel queues for so much less than `unackedQueueMs`. */
const besideSpareMs = 10;

/**
 * What is under way to the peer, and whether the path is alive (DESIGN §8). A ping carries a number, its pong the
 * bytes received so far; both count whole records. A received byte postpones the idle ping (`pingIntervalMs`); only
 * a pong, due within `pingTimeoutMs`, proves the way out: without it `failed` gets Fault `timeout`.
 *
 * Unacknowledged bytes stay under rate × (shortest round trip + `unackedQueueMs`), so that a ping never queues for
 * longer than that behind bulk on the slowest hop, yet long paths are filled. Before a rate is known: `unackedBytesMin`.
 */
export class Flight {
  sentBytes = 0;
  receivedBytes = 0;
  #ackedBytes = 0;
  #ackedMs: number;
  #bulkSent = 0;
  #bulkPinged = 0;
  #pingedBytes = 0;
  #pings: Ping[] = [];
  #nextNumber = 1;
  #due = false;
  #held = false;
  #receivedMs: number;
  #bulkSentMs = 0;
  #shortestMs = Number.POSITIVE_INFINITY;
  #rates: number[] = [];
  #windowBytes = unackedBytesMin;
  #spareBytes = 0;
  #roundTrips: number[] = [];
  #cancel: Cancel | undefined;
  #wakeMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  readonly #clock: Clock;
  readonly #wake: () => void;
  readonly #failed: (fault: Fault) => void;

  constructor(clock: Clock, wake: () => void, failed: (fault: Fault) => void) {
    this.#clock = clock;
    this.#wake = wake;
    this.#failed = failed;
    this.#receivedMs = clock.monotonic();
    this.#ackedMs = this.#receivedMs;
    this.#arm(this.#receivedMs + pingIntervalMs);
  }

  /** Bytes of bulk that may follow now; 0 or less: wait for a pong. */
  get budgetBytes(): number {
    return this.#windowBytes - (this.sentBytes - this.#ackedBytes);
  }

  /** The size of record that leaves room for a heartbeat between two of them, however slow the path is. */
  get recordBytes(): number {
    return Math.min(recordPlaintextBytesMax, Math.max(recordBytesMin, Math.floor(this.#windowBytes / 4)));
  }

  /** Whether the next record should begin with a ping. */
  get pingDue(): boolean {
    if (this.#pings.length >= pingsMax) return false;
    return this.#due || this.sentBytes - this.#pingedBytes >= this.#windowBytes / 4;
  }

  /** The shortest round trip in ms; a careful guess before the first pong. */
  get roundTripMs(): number {
    return this.#shortestMs === Number.POSITIVE_INFINITY ? 100 : Math.max(this.#shortestMs, 5);
  }

  /** Asks for a ping with the next record. */
  requestPing(): void {
    this.#due = true;
    this.#wake();
  }

  /** Notes that the sender had more than the budget allowed: rates measured meanwhile are the path's, not ours. */
  heldBack(): void {
    this.#held = true;
    if (this.#pings.length === 0) this.#due = true;
  }

  /** Notes a record of `bytes` with `bulk` bytes of data and, where `ping` is said, that ping in it. */
  sent(bytes: number, bulk: number, ping: number | undefined): void {
    const now = this.#clock.monotonic();
    const proven = this.#bulkSent === this.#bulkPinged;
    const quiet = this.#pings.length === 0 && proven;
    if (quiet) this.#ackedMs = now;
    this.sentBytes += bytes;
    this.#bulkSent += bulk;
    if (ping !== undefined) {
      const { sentBytes: sent } = this;
      const [acked, ackedMs, held] = [this.#ackedBytes, this.#ackedMs, this.#held];
      this.#pings.push({ number: ping, sentMs: now, sent, acked, ackedMs, idle: quiet && bulk === 0, held });
      this.#held = false;
      this.#due = false;
      this.#bulkPinged = this.#bulkSent;
      this.#pingedBytes = sent;
      this.#arm(now + pingTimeoutMs);
    } else if (bulk > 0) {
      if (proven) this.#bulkSentMs = now; // since then, however much follows in between: a trickle never pauses
      if (this.#pings.length === 0) this.#arm(now + ackDelayMs);
    }
  }

  /**
   * Whether a message of `bytes`, which can't be cut, may follow beside the channel now; one larger than the budget goes alone. A part
   * of the budget (`besideSpareMs`) is left to the channel's own data.
   */
  roomBeside(bytes: number): boolean {
    if (this.budgetBytes - this.#spareBytes >= bytes || this.sentBytes === this.#ackedBytes) return true;
    this.heldBack();
    return false;
  }

  /** The number for a ping that is being written. */
  nextPing(): number {
    const number = this.#nextNumber;
    this.#nextNumber = number === 0xffff_ffff ? 1 : number + 1;
    return number;
  }

  /** Notes a received record. */
  received(bytes: number): void {
    this.receivedBytes += bytes;
    this.#receivedMs = this.#clock.monotonic();
  }

  /** Takes a pong; it answers its ping and those before. Fault `frame_invalid` for one that can't be true. */
  pong(number: number, received: number): void {
    const index = this.#pings.findIndex((ping) => ping.number === number);
    const ping = this.#pings[index];
    if (ping === undefined || received < ping.sent || received > this.sentBytes)
      throw new Fault("frame_invalid", "a pong without its ping, or with a wrong count");
    this.#pings.splice(0, index + 1);
    const now = this.#clock.monotonic();
    const roundTrip = now - ping.sentMs;
    this.#roundTrips.push(roundTrip);
    if (this.#roundTrips.length > roundTripsKept) this.#roundTrips.shift();
    this.#shortestMs = ping.idle ? roundTrip : Math.min(this.#shortestMs, roundTrip);
    this.#ackedBytes = Math.max(this.#ackedBytes, received);
    this.#ackedMs = now;
    if (!ping.idle) this.#learnRate(ping, now);
    this.#wake();
  }

  stats(): RoundTrips {
    const sorted = [...this.#roundTrips].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { lastMs: this.#roundTrips.at(-1) ?? 0, p50Ms: at(0.5), p99Ms: at(0.99), count: sorted.length };
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #learnRate(ping: Ping, now: number): void {
    const rate = (this.#ackedBytes - ping.acked) / Math.max(now - Math.min(ping.ackedMs, ping.sentMs), 0.05);
    // A sender that had little to say measured itself: its rate may raise what is known, never lower it.
    if (!ping.held && rate <= Math.max(...this.#rates, 0)) return;
    this.#rates.push(rate);
    if (this.#rates.length > ratesKept) this.#rates.shift();
    const window = Math.max(...this.#rates) * (this.#shortestMs + unackedQueueMs);
    this.#windowBytes = Math.floor(Math.min(unackedBytesMax, Math.max(knownUnackedBytesMin, window)));
    this.#spareBytes = Math.min(Math.floor(Math.max(...this.#rates) * besideSpareMs), this.#windowBytes / 4);
  }

  #arm(atMs: number): void {
    if (this.#stopped || atMs >= this.#wakeMs) return;
    this.#cancel?.();
    this.#wakeMs = atMs;
    this.#cancel = this.#clock.after(Math.max(0, Math.ceil(atMs - this.#clock.monotonic())), () => this.#tick());
  }

  #tick(): void {
    if (this.#stopped) return;
    const now = this.#clock.monotonic();
    const lateMs = now - this.#wakeMs;
    this.#wakeMs = Number.POSITIVE_INFINITY;
    if (lateMs > lateTickMs) {
      this.#arm(now + lateTickMs); // this process stood still: what has arrived meanwhile is read first
      return;
    }
    const oldest = this.#pings[0];
    if (oldest !== undefined && now - oldest.sentMs >= pingTimeoutMs) {
      this.stop();
      this.#failed(new Fault("timeout", "no pong in time: the path out is dead"));
      return;
    }
    const unproven = this.#bulkSent > this.#bulkPinged && this.#pings.length === 0;
    if (now - this.#receivedMs >= pingIntervalMs || (unproven && now - this.#bulkSentMs >= ackDelayMs)) {
      if (oldest === undefined) this.requestPing();
    }
    const next = [this.#receivedMs + pingIntervalMs > now ? this.#receivedMs + pingIntervalMs : now + pingIntervalMs];
    if (oldest !== undefined) next.push(oldest.sentMs + pingTimeoutMs);
    if (unproven) next.push(Math.max(now + 1, this.#bulkSentMs + ackDelayMs));
    this.#arm(Math.min(...next));
  }
}
