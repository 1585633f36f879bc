import { fromUtf8 } from "#lib/bytes";
import { backOffMs } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import { pageBytesMax } from "#lib/limits";
import type { HttpConfig } from "#lib/session";
import { type Background, Bell } from "../background.ts";
import { emitPatiently } from "../emit-patiently.ts";
import { fraction } from "../fraction.ts";
import type { PluginHost } from "../plugin.ts";
import { readBounded } from "../read-bounded.ts";
import { type HttpSystem, harmless, isOk, unavailable } from "./http-system.ts";
import { type Page, readPage } from "./page.ts";
import { type Due, makeSchedule, type Schedule } from "./schedule.ts";

type UpConfig = NonNullable<HttpConfig["up"]>;

const failedRange = { firstMs: 1_000, maxMs: 60_000 };
const retryAfterMsMax = 3_600_000;
/** The wall clock may jump: a wait for a time of day is looked at again after this. */
const waitMsMax = 30_000;

/**
 * Asks a system for what is new, page after page, on a schedule. A page's items and the cursor behind them are stored in one
 * transaction, so that nothing is missed and nothing comes twice whenever Mercury ends. Polls never overlap.
 */
export class HttpPoller {
  readonly #system: HttpSystem;
  readonly #config: UpConfig;
  readonly #host: PluginHost;
  readonly #background: Background;
  readonly #schedule: Schedule;
  readonly #memory: string;
  readonly #bell = new Bell();
  #turn: Promise<unknown> = Promise.resolve();
  #lastBeganMs: number | undefined;
  #trouble: Fault | undefined;
  #waiting: string | undefined;
  #failures = 0;
  #collected = 0;

  /** Fault `config` when the schedule can't be read. */
  constructor(system: HttpSystem, config: UpConfig, host: PluginHost, background: Background) {
    this.#system = system;
    this.#config = config;
    this.#host = host;
    this.#background = background;
    this.#schedule = makeSchedule(config.schedule, host.clock);
    // A cursor is worth something only for the list that it came from.
    this.#memory = `cursor ${config.path} ${config.items} ${config.cursor}`;
  }

  /** Messages collected since the start. */
  get collected(): number {
    return this.#collected;
  }

  /** Why nothing comes, if so. */
  get trouble(): string | undefined {
    return this.#waiting ?? this.#trouble?.message;
  }

  /** Polls on schedule until the background ends. */
  begin(): void {
    this.#background.begin(
      (signal) => this.#run(signal),
      (fault) => this.#host.log.error("polling ended", { code: fault.code, reason: fault.message }),
    );
  }

  /** Polls now, after a poll under way; answers how many messages came. */
  async collectNow(): Promise<number> {
    const count = await this.#exclusive(() => this.#poll(this.#background.signal));
    this.#bell.ring(); // the wait after a failure is over
    return count;
  }

  /** Resolves when no poll is under way. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#untilDue(signal);
      if (!signal.aborted) await this.#exclusive(() => this.#poll(signal)).catch(() => undefined); // told by #failed
    }
  }

  async #untilDue(signal: AbortSignal): Promise<void> {
    let due = this.#next();
    for (let waitMs = due(); waitMs > 0 && !signal.aborted; waitMs = due()) {
      const rung = await this.#bell.wait(this.#host.clock, Math.min(waitMs, waitMsMax), signal);
      if (rung) due = this.#next();
    }
  }

  #next(): Due {
    if (this.#failures === 0) return this.#schedule(this.#lastBeganMs);
    const { clock, random } = this.#host;
    const told = this.#trouble?.detail.retryAfterMs;
    const waitMs =
      typeof told === "number"
        ? Math.min(told, retryAfterMsMax)
        : backOffMs(this.#failures - 1, failedRange, 0.5 + fraction(random) / 2);
    const at = clock.monotonic() + waitMs;
    return () => at - clock.monotonic();
  }

  /** Polls one after the other, whoever asks. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // its caller hears of it
    return turn;
  }

  async #poll(signal: AbortSignal): Promise<number> {
    this.#lastBeganMs = this.#host.clock.monotonic();
    try {
      const count = await this.#pages(signal);
      if (this.#trouble !== undefined) this.#host.log.info("polling works again");
      this.#trouble = undefined;
      this.#failures = 0;
      return count;
    } catch (error) {
      throw signal.aborted ? error : this.#failed(asFault(error, "plugin_failed"));
    } finally {
      this.#waiting = undefined;
    }
  }

  #failed(fault: Fault): Fault {
    const { log } = this.#host;
    const fields = { code: fault.code, reason: fault.message };
    if (this.#trouble?.message === fault.message) log.debug("poll failed again", fields);
    else log.warn("poll failed", fields);
    this.#trouble = fault;
    this.#failures += 1;
    return fault;
  }

  /** All pages that there are now. */
  async #pages(signal: AbortSignal): Promise<number> {
    for (let count = 0; ; ) {
      signal.throwIfAborted();
      const cursor = await this.#host.recall(this.#memory); // what is durable, not what we believe
      const page = await this.#fetch(cursor, signal);
      if (page.cursor === undefined) return count;
      if (page.cursor === cursor)
        throw new Fault(
          "plugin_failed",
          `the system ignores "${this.#config.cursorParameter}": the same items came again`,
        );
      await emitPatiently(
        this.#host,
        page.bodies.map((body) => ({ contentType: "application/json", body })),
        { [this.#memory]: page.cursor },
        { signal, waits: (reason) => this.#wait(reason) },
      );
      this.#waiting = undefined;
      count += page.bodies.length;
      this.#collected += page.bodies.length;
    }
  }

  #wait(reason: string): void {
    if (this.#waiting === undefined) this.#host.log.warn("collected messages wait", { reason });
    this.#waiting = reason;
  }

  async #fetch(cursor: string | undefined, signal: AbortSignal): Promise<Page> {
    const { path, cursorParameter } = this.#config;
    const query = cursor === undefined ? "" : `${encodeURIComponent(cursorParameter)}=${encodeURIComponent(cursor)}`;
    const separator = query === "" ? "" : path.includes("?") ? "&" : "?";
    try {
      return await this.#system.call({ method: "GET", path: `${path}${separator}${query}` }, signal, (response) =>
        this.#read(response),
      );
    } catch (error) {
      throw harmless(error);
    }
  }

  async #read(response: Response): Promise<Page> {
    if (!isOk(response.status)) throw unavailable(await this.#system.answerOf(response));
    const bytes = await readBounded(response.body, pageBytesMax);
    return readPage(text(bytes), this.#config);
  }
}

function text(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw new Fault("plugin_failed", "the system's answer is not UTF-8", { cause });
  }
}
