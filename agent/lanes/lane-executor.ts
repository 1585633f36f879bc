import { type Clock, type Random, sleep } from "#lib/clock";
import { backOffMs, type Judgement, judge, positionOf } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import { deliveryTries } from "#lib/limits";
import type { Log } from "#lib/log";
import type { Statement } from "#lib/runtime";
import type { DesiredPlugin, DownMessage } from "#lib/session";
import { isSealed } from "#lib/statement";
import type { DownDelivery, Plugin } from "../plugins/plugin.ts";
import type { HeldMessage } from "../store/held-messages.ts";
import type { StoredEntry } from "../store/incoming.ts";
import type { Lane } from "../store/lane-store.ts";
import type { EncodedUp } from "../store/up-letters.ts";
import { makeLetters, type Place } from "./lane-letters.ts";
import { LaneProgress } from "./lane-progress.ts";
import type { LaneSeal } from "./lane-seal.ts";

/** Waits between tries while a system is away, and between tries that it refused. */
const unavailableRange = { firstMs: 1_000, maxMs: 60_000 };
const refusedRange = { firstMs: 500, maxMs: 10_000 };
/** A call that takes longer is given up, whatever the plugin's own time-out says. */
const callMsMax = 15 * 60_000;
/** What a call under way may still take when the lane is stopped. */
const stopGraceMs = 5_000;
/** A lane that never has to wait gives the event loop its turn after this. */
const turnMs = 4;
/** Tries to open a sealed message of a plugin that is not: about a minute, in which the state that says so should be here. */
const openTriesMax = 6;

export interface LaneExecutorOptions {
  readonly lane: Lane;
  readonly plugin: Pick<Plugin, "deliver" | "check" | "repeatable">;
  readonly settings: Pick<DesiredPlugin["lane"], "ageMaxMs" | "onUnknown">;
  /** Opens what was sealed. */
  readonly seal: Pick<LaneSeal, "open">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Hands a lane's messages to its plugin: in order, one at a time (DESIGN §4). Each ends as applied, dead, or held because
 * nobody can say; the mark of how far it came, and the letters that tell, are written in one transaction.
 */
export class LaneExecutor implements AsyncDisposable {
  readonly #options: LaneExecutorOptions;
  readonly #progress: LaneProgress;
  readonly #letters: ReturnType<typeof makeLetters>;
  readonly #stop = new AbortController();
  #call = new AbortController();
  #callAborted = false;
  readonly #unlisten: () => void;
  #wake: () => void = () => undefined;
  #woken = false;
  #waiting: string | undefined;
  #heldDue = true;
  #running: Promise<void>;
  #turnBeganMs: number;

  /** Begins at once. */
  constructor(options: LaneExecutorOptions) {
    this.#options = options;
    const { lane, clock, random, log } = options;
    this.#letters = makeLetters(random, () => clock.now());
    this.#progress = new LaneProgress(lane.inbox, clock, (fault) => {
      log.warn("lane's progress not written yet", { code: fault.code });
    });
    lane.inbox.rewind();
    this.#unlisten = lane.inbox.onChange(() => this.nudge());
    this.#turnBeganMs = clock.monotonic();
    this.#running = this.#run();
  }

  /** Why the lane stands still; undefined while it goes on. */
  get waiting(): string | undefined {
    return this.#waiting;
  }

  /** Tries again now: something changed. */
  nudge(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Looks for held messages that a person wants tried again. */
  retryHeld(): void {
    this.#heldDue = true;
    this.nudge();
  }

  /** Takes no further message; a call under way may end for `stopGraceMs`, then it is aborted and its outcome unknown. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unlisten();
    this.#stop.abort(new Fault("closed"));
    this.#wake();
    const cancel = this.#options.clock.after(stopGraceMs, () => {
      this.#callAborted = true;
      this.#call.abort(new Fault("closed"));
    });
    await this.#running;
    cancel();
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    const { lane, log } = this.#options;
    while (!this.#stopped) {
      try {
        await this.#held();
        const entry = await lane.inbox.next();
        if (entry !== undefined) await this.#entry(entry);
        else {
          await this.#progress.rest();
          await this.#untilNudged();
        }
      } catch (error) {
        if (this.#stopped) break;
        const fault = asFault(error, "internal");
        log.error("lane interrupted", { code: fault.code, reason: fault.message, cause: fault.cause });
        this.#waiting = fault.message;
        await this.#pause(backOffMs(2, unavailableRange, this.#fraction()));
        this.#waiting = undefined;
        lane.inbox.rewind();
      }
    }
    // Stopped during a call: its note stays on disk, and who comes next knows that the outcome is unknown.
    if (!this.#progress.left.calling) await this.#progress.flush().catch(() => undefined); // what is lost is done again
  }

  async #entry(entry: StoredEntry): Promise<void> {
    const { clock } = this.#options;
    for (let index = this.#progress.settledIn(entry); index < entry.messages.length; index++) {
      if (this.#stopped) return;
      const position = positionOf(entry.seq, index);
      const place = { created: entry.created, position };
      const after = { n: entry.n, index: index + 1, created: entry.created, position, at: Math.floor(clock.now()) };
      const message = entry.messages[index] ?? null;
      if (message === null) this.#progress.advance(after);
      else if (!(await this.#message(message, place, after))) return;
      if (clock.monotonic() - this.#turnBeganMs > turnMs) await this.#giveTurn();
    }
  }

  /** One message, until it is settled; false when the lane was stopped before. */
  async #message(message: DownMessage, place: Place, after: { n: number; index: number } & Place & { at: number }) {
    const { plugin, settings } = this.#options;
    const noted = !plugin.repeatable && settings.onUnknown === "hold";
    const { left } = this.#progress;
    let { tries } = left;
    if (left.calling && noted) {
      await this.#hold({ message, ...place }, after, "Mercury ended between the request and its answer");
      return true;
    }
    if (plugin.deliver === undefined) {
      await this.#dead(message, place, after, new Fault("refused", "this plugin takes no messages"), tries);
      return true;
    }
    if (plugin.repeatable === "last") await this.#progress.flush();
    const delivery = await this.#opened(message);
    if (delivery === undefined) return false;
    if (delivery instanceof Fault) {
      await this.#dead(message, place, after, delivery, tries);
      return true;
    }
    for (let attempt = 0; !this.#stopped; attempt++) {
      if (noted) await this.#progress.write({ calling: true, tries });
      const judgement = await this.#deliver(delivery);
      if (judgement === undefined) {
        this.#waiting = undefined;
        const settled = { ...after, at: Math.floor(this.#options.clock.now()) };
        if (noted) this.#progress.note(settled);
        else this.#progress.advance(settled);
        return true;
      }
      if (this.#callAborted && judgement.kind !== "refused") return false; // the note stays
      const fault = toldOf(message, judgement.fault);
      if (judgement.kind === "unknown" && noted) {
        await this.#hold({ message, ...place }, after, fault.message);
        return true;
      }
      if (judgement.kind === "refused") {
        tries += 1;
        if (tries >= deliveryTries) {
          await this.#dead(message, place, after, fault, tries);
          return true;
        }
        await this.#progress.write({ tries });
        await this.#wait(`refused: ${fault.message}`, backOffMs(tries - 1, refusedRange, this.#fraction()));
        continue;
      }
      if (this.#options.clock.now() - message.time > settings.ageMaxMs) {
        await this.#dead(message, place, after, fault, tries);
        return true;
      }
      if (noted) await this.#progress.write({ tries });
      await this.#wait(fault.message, this.#unavailableMs(judgement, attempt));
    }
    return false;
  }

  /** What is handed to the plugin, or why it can't be; undefined when the lane was stopped before. */
  async #opened(message: DownMessage): Promise<DownDelivery | Fault | undefined> {
    for (let attempt = 1; !this.#stopped; attempt++) {
      try {
        return await this.#options.seal.open(message);
      } catch (error) {
        const fault = asFault(error, "internal");
        if (fault.code !== "unavailable" || attempt >= openTriesMax) return fault;
        await this.#wait(fault.message, backOffMs(attempt, unavailableRange, this.#fraction()));
      }
    }
    return undefined;
  }

  /** Undefined = applied. A failure that may be the message's own is `refused` once a probe of the system succeeds. */
  async #deliver(delivery: DownDelivery): Promise<Exclude<Judgement, { kind: "probe" }> | undefined> {
    const { plugin, clock } = this.#options;
    const call = new AbortController();
    this.#call = call;
    const cancel = clock.after(callMsMax, () => call.abort(new Fault("timeout", "the plugin did not answer")));
    try {
      await plugin.deliver?.(delivery, call.signal);
      return undefined;
    } catch (error) {
      const judgement = judge(error);
      if (judgement.kind !== "probe") return judgement;
      const { fault } = judgement;
      try {
        await plugin.check(call.signal);
        return { kind: "refused", fault };
      } catch {
        return { kind: "unavailable", fault, retryAfterMs: undefined }; // the probe failed too: the system is not well
      }
    } finally {
      cancel();
    }
  }

  #dead(message: DownMessage, place: Place, after: LaneProgress["mark"], fault: Fault, tries: number): Promise<void> {
    const { log } = this.#options;
    log.warn("message dead", { message: message.id, code: fault.code, reason: fault.message, tries });
    const letter = this.#letters.dead(message, place, { code: fault.code, reason: fault.message, tries });
    return this.#settleWith([letter], (also) => this.#progress.write({ to: after, also }));
  }

  #hold(held: HeldMessage, after: LaneProgress["mark"], reason: string): Promise<void> {
    const { lane, clock, log } = this.#options;
    log.warn("outcome of a message unknown", { message: held.message.id, reason });
    const letter = this.#letters.unknown(held.message, held, reason);
    return this.#settleWith([letter], (also) =>
      this.#progress.write({ to: after, also: [lane.held.hold(held, clock.now()), ...also] }),
    );
  }

  /** Appends letters in the transaction of `write`; waits while the outbox has no room for them. */
  async #settleWith(
    letters: readonly EncodedUp[],
    write: (also: readonly Statement[]) => Promise<void>,
  ): Promise<void> {
    const { lane } = this.#options;
    for (;;) {
      try {
        await lane.outbox.appendWith(letters, write);
        this.#waiting = undefined;
        return;
      } catch (error) {
        if (!(error instanceof Fault) || (error.code !== "lane_full" && error.code !== "disk_full")) throw error;
        this.#stop.signal.throwIfAborted();
        await this.#wait(error.code === "lane_full" ? "the outbox is full" : error.message, 1_000);
      }
    }
  }

  /** Messages of unknown outcome that a person wants tried again come before what waits behind them. */
  async #held(): Promise<void> {
    const { lane } = this.#options;
    while (this.#heldDue && !this.#stopped) {
      const held = await lane.held.toRetry();
      if (held === undefined) this.#heldDue = false;
      else await this.#again(held);
    }
  }

  async #again(held: HeldMessage): Promise<void> {
    const { lane, log } = this.#options;
    // Before the call: if Mercury ends now, it waits for a person again.
    await lane.state.write([lane.held.retry(held.message.id, false)]);
    const delivery = await this.#opened(held.message);
    if (delivery instanceof Fault) {
      log.warn("a held message can't be opened", { message: held.message.id, code: delivery.code });
      return await this.#release(held, "dead");
    }
    for (let [tries, attempt] = [0, 0]; delivery !== undefined && !this.#stopped; attempt++) {
      const judgement = await this.#deliver(delivery);
      if (judgement === undefined) return await this.#release(held, "applied");
      if (judgement.kind === "unknown" || this.#callAborted) {
        log.warn("outcome of a message still unknown", { message: held.message.id });
        return;
      }
      if (judgement.kind === "refused" && ++tries >= deliveryTries) return await this.#release(held, "dead");
      const range = judgement.kind === "refused" ? refusedRange : unavailableRange;
      await this.#wait(toldOf(held.message, judgement.fault).message, backOffMs(attempt, range, this.#fraction()));
    }
    await lane.state.write([lane.held.retry(held.message.id, true)]); // stopped while the system was away
  }

  async #release(held: HeldMessage, code: "applied" | "dead"): Promise<void> {
    const { lane } = this.#options;
    this.#waiting = undefined;
    const letter = this.#letters.settled(held.message.id, held, code);
    await this.#settleWith([letter], (also) => lane.state.write([lane.held.release(held.message.id), ...also]));
  }

  #unavailableMs(judgement: Judgement, attempt: number): number {
    const told = judgement.kind === "unavailable" ? judgement.retryAfterMs : undefined;
    const jittered = backOffMs(attempt, unavailableRange, 0.5 + this.#fraction() / 2);
    return told === undefined ? jittered : Math.min(Math.max(told, 0), 10 * unavailableRange.maxMs);
  }

  async #wait(reason: string, delayMs: number): Promise<void> {
    if (this.#waiting === undefined) this.#options.log.warn("lane waits", { reason });
    this.#waiting = reason;
    await this.#pause(delayMs);
  }

  /** Ends early when the lane is stopped. */
  async #pause(delayMs: number): Promise<void> {
    await sleep(this.#options.clock, delayMs, { signal: this.#stop.signal }).catch(() => undefined); // stopped: the loop sees it
  }

  async #untilNudged(): Promise<void> {
    if (!this.#woken && !this.#stopped)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#woken = false;
    this.#turnBeganMs = this.#options.clock.monotonic();
  }

  async #giveTurn(): Promise<void> {
    await this.#pause(0);
    this.#turnBeganMs = this.#options.clock.monotonic();
  }

  #fraction(): number {
    const [high = 0, low = 0] = this.#options.random(2);
    return (high * 256 + low) / 65_536;
  }
}

/** What may be said of a failed call: a system's answer may quote a sealed message, and letters and states travel in the open. */
function toldOf(message: DownMessage, fault: Fault): Fault {
  return isSealed(message) ? new Fault(fault.code, fault.entry.text) : fault;
}
