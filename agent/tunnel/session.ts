import type { Random } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { type Link, type MessageStream, messageStream } from "#lib/link";
import type { Log } from "#lib/log";
import {
  type ControlDown,
  type ControlUp,
  controlDownSchema,
  controlUpSchema,
  downDownSchema,
  downUpSchema,
  type PluginHealth,
  sessionStreams,
  type UpWatermark,
  upDownSchema,
  upUpSchema,
} from "#lib/session";
import type { HostFacts } from "#lib/statement";
import { DownLanes } from "../lanes/down-lanes.ts";
import type { LaneSeal } from "../lanes/lane-seal.ts";
import { UpLanes } from "../lanes/up-lanes.ts";
import type { Lane } from "../store/lane-store.ts";
import type { Store } from "../store/open-store.ts";
import type { CorrectedClock } from "./corrected-clock.ts";
import { type RelayOffer, Relays } from "./relays.ts";
import { SessionFreshness } from "./session-freshness.ts";
import { SessionTimers } from "./session-timers.ts";
import type { Trust } from "./trust.ts";

const openingTimeoutMs = 20_000;
const healthIntervalMs = 15_000;

/** What every session of a node needs of it. */
export interface SessionParts {
  readonly store: Pick<Store, "cloud" | "identity" | "lanes">;
  readonly clock: CorrectedClock;
  readonly random: Random;
  readonly log: Log;
  readonly trust: Trust;
  readonly host: HostFacts;
  /** Lanes whose plugins run: they are opened down. */
  readonly downLanes: () => readonly Lane[];
  /** What the messages of a lane must be. */
  readonly sealOf: (lane: Lane) => Promise<LaneSeal>;
  /** Why a lane stands still, if it does. */
  readonly waiting: (lane: string) => string | undefined;
  /** Checks every plugin; what they said, and the number of the desired state that runs. */
  readonly health: () => Promise<{ readonly desired: number; readonly plugins: PluginHealth[] }>;
  /** Takes a sealed desired state; answers its number once it is verified and stored. */
  readonly desired: (sealed: string) => Promise<number>;
  /** Takes a sealed command; resolves when it was answered. */
  readonly command: (sealed: string) => Promise<void>;
  /** Another node asks for a wire over this session. */
  readonly relayOffered: (offer: RelayOffer, relays: Relays) => void;
  /** Tells Solaris, durably, of something that a person should see. */
  readonly warn: (code: FaultCode, text: string) => void;
}

type Welcome = Extract<ControlDown, { type: "welcome" }>;

/** One open tunnel, from `hello` on (PROTOCOL §6): control stream, then lanes. Ends once, for one reason. */
export class Session {
  readonly slot: 0 | 1;
  readonly link: Link;
  /** Why it ended; never rejects. */
  readonly ended: Promise<Fault>;
  /** Wires to other nodes. */
  readonly relays: Relays;
  readonly #parts: SessionParts;
  readonly #control: MessageStream<ControlUp, ControlDown>;
  readonly #over = new AbortController();
  readonly #timers: SessionTimers;
  readonly #freshness: SessionFreshness;
  readonly #welcome = Promise.withResolvers<Welcome>();
  readonly #opened = Promise.withResolvers<void>();
  #watermarks: readonly UpWatermark[] = [];
  #down: DownLanes | undefined;
  #up: UpLanes | undefined;
  #orders: Promise<void> = Promise.resolve();

  constructor(parts: SessionParts, link: Link, slot: 0 | 1) {
    this.#parts = parts;
    this.link = link;
    this.slot = slot;
    const schemas = { outgoing: controlUpSchema, incoming: controlDownSchema };
    this.#control = messageStream(link.open(sessionStreams.control), schemas);
    this.relays = new Relays({
      link,
      clock: parts.clock,
      send: (message) => void this.#send(message),
      offered: parts.relayOffered,
    });
    const { store, clock, random, log, trust } = parts;
    this.#timers = new SessionTimers(clock);
    const send = (message: ControlUp) => this.#send(message);
    this.#freshness = new SessionFreshness({ store, clock, random, log, trust, link, timers: this.#timers, send });
    this.#welcome.promise.catch(() => undefined); // `open` has it, if it still waits
    this.#opened.promise.catch(() => undefined);
    this.ended = link.closed.then((fault) => this.#end(fault));
    void this.#listen();
  }

  /** From `hello` to `opened`, and as far as the newest list: data may flow then. Rejects with the Fault that ended it. */
  async open(): Promise<void> {
    const { store, clock, trust, host, log } = this.#parts;
    const cancel = clock.after(openingTimeoutMs, () => void this.link.close("timeout"));
    try {
      await this.#send({ type: "hello", version: host.version, platform: host.platform, hostname: host.hostname });
      const { epoch, continuity, serverTime, lanes, revocations } = await this.#welcome.promise;
      if (clock.correct(serverTime, trust.freshness.authorityIat * 1_000)) {
        log.warn("this machine's clock is wrong; corrected by the cloud's time", { offsetMs: clock.offsetMs });
        await store.cloud.keepClockOffset(clock.offsetMs);
      }
      await store.cloud.keepSlot(this.slot, { epoch, continuity: Uint8Array.from(continuity) });
      await this.#send({ type: "ready", epoch });
      await this.#opened.promise;
      await store.cloud.forgetToken();
      this.#watermarks = lanes;
      await this.#freshness.become(revocations);
    } finally {
      cancel();
    }
    this.#timers.later("health", 0, () => void this.#health());
  }

  /** Opens the data streams: what was on another tunnel must be stopped before. */
  startLanes(): void {
    const { store, clock, random, log, trust, waiting, warn, sealOf } = this.#parts;
    const down = messageStream(this.link.open(sessionStreams.down), {
      outgoing: downUpSchema,
      incoming: downDownSchema,
    });
    const up = messageStream(this.link.open(sessionStreams.up), { outgoing: upUpSchema, incoming: upDownSchema });
    const { agentId } = trust.enrollment;
    this.#down = new DownLanes({ stream: down, agentId, clock, random, log, sealOf });
    this.#up = new UpLanes({
      stream: up,
      lanes: store.lanes,
      watermarks: this.#watermarks,
      waiting,
      sealOf,
      renewed: (lane) => warn("conflict", `lane ${lane}: its outbox comes from an older copy of the store`),
      clock,
      log,
    });
    for (const ended of [this.#down.ended, this.#up.ended])
      void ended.then((fault) => {
        if (!this.#over.signal.aborted) void this.link.close(fault.code);
      });
    this.lanesChanged();
  }

  /** Opens the lanes of plugins that came, closes those of plugins that went. */
  lanesChanged(): void {
    const down = this.#down;
    if (down === undefined || this.#over.signal.aborted) return;
    const wanted = this.#parts.downLanes();
    const names = new Set(wanted.map(({ name }) => name));
    for (const name of down.names()) if (!names.has(name)) void down.close(name);
    for (const lane of wanted) down.open(lane);
  }

  /** A lane began or ceased to wait: its status says so. */
  statusChanged(lane: string): void {
    this.#up?.nudge(lane);
  }

  /** Resolves when nothing of this session is written any more. */
  async stopLanes(): Promise<void> {
    await Promise.all([this.#down?.stop(), this.#up?.stop()]);
  }

  /** Asks for a fresh credential, and what belongs to it. */
  refresh(): Promise<void> {
    return this.#freshness.refresh();
  }

  /** Tells Nexus why, and ends. */
  async close(code: FaultCode): Promise<void> {
    await this.stopLanes();
    await this.link.close(code);
  }

  async #listen(): Promise<void> {
    try {
      for await (const message of this.#control.receive()) await this.#take(message);
      void this.link.close("closed");
    } catch (error) {
      void this.link.close(asFault(error, "internal").code);
    }
  }

  async #take(message: ControlDown): Promise<void> {
    switch (message.type) {
      case "welcome":
        this.#welcome.resolve(message);
        break;
      case "opened":
        this.#opened.resolve();
        break;
      case "desired":
        this.#order("desired state", async () => {
          await this.#takeDesired(message.statement);
        });
        break;
      case "command":
        this.#order("command", () => this.#parts.command(message.statement), true);
        break;
      case "credential":
        await this.#freshness.takeCredential(message);
        break;
      case "peer": {
        const { credential, authority } = message;
        await this.link.renewPeer({ credential, authority: Uint8Array.from(authority) });
        break;
      }
      case "revocations":
        await this.#parts.trust.takeList({ authority: message.authority, revocations: message.statement });
        this.#freshness.listTaken();
        break;
      case "problem":
        this.#parts.log.warn("the cloud refused a request", { about: message.about, code: message.code });
        if (message.about === "refresh") this.#freshness.refused();
        break;
      case "relay-opened":
      case "relay-refused":
      case "relay-offer":
      case "relay-closed":
        this.relays.take(message);
        break;
    }
  }

  /** Desired states follow one another; commands wait for none of them. What is not valid is told, and changes nothing. */
  #order(what: string, work: () => Promise<void>, aside = false): void {
    const run = async () => {
      try {
        await work();
      } catch (error) {
        const { code, message } = asFault(error, "internal");
        this.#parts.log.error(`${what} not taken`, { code, reason: message });
        this.#parts.warn(code, `${what} not taken: ${message}`);
      }
    };
    if (aside) void run();
    else this.#orders = this.#orders.then(run);
  }

  /** What was verified counts as shown, whether it fits this version or not. */
  async #takeDesired(statement: string): Promise<void> {
    const { trust, desired } = this.#parts;
    try {
      await trust.desiredTaken(await desired(statement));
    } catch (error) {
      const { code, detail } = asFault(error, "internal");
      if (code === "invalid" && typeof detail.number === "number") await trust.desiredUnfit(detail.number);
      throw error;
    } finally {
      this.#freshness.ownTaken();
    }
  }

  async #health(): Promise<void> {
    const { health, clock, log } = this.#parts;
    try {
      const { desired, plugins } = await health();
      if (!this.#over.signal.aborted)
        await this.#send({ type: "health", at: Math.floor(clock.now()), desired, plugins });
    } catch (error) {
      log.warn("health not told", { code: asFault(error, "internal").code });
    }
    this.#timers.later("health", healthIntervalMs, () => void this.#health());
  }

  /** What can't be sent any more has the session's end as answer. */
  async #send(message: ControlUp): Promise<void> {
    try {
      await this.#control.send(message);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #end(fault: Fault): Promise<Fault> {
    this.#over.abort(fault);
    this.#timers.end();
    this.#welcome.reject(fault);
    this.#opened.reject(fault);
    await this.stopLanes();
    return fault;
  }
}
