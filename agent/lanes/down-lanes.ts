import { hex } from "#lib/bytes";
import { type Clock, type Random, sleep } from "#lib/clock";
import { backOffMs } from "#lib/delivery";
import { asFault, Fault, isFaultCode } from "#lib/fault";
import { laneUnconfirmedBytesMax } from "#lib/limits";
import type { MessageStream } from "#lib/link";
import type { Log } from "#lib/log";
import type { DownDown, DownUp } from "#lib/session";
import { type EntryOrigin, type IncomingEntry, readIncoming, unreadableEntry } from "../store/incoming.ts";
import { checkIncoming, type LaneIntake } from "../store/intake.ts";
import type { Lane } from "../store/lane-store.ts";

const reopenRange = { firstMs: 1_000, maxMs: 60_000 };
/** Between tries to store what the disk did not take. */
const storeRetryMs = 1_000;
/** Entries stored together at most, bytes: what Nexus may have unconfirmed. */
const storeBytesMax = laneUnconfirmedBytesMax;

export interface DownLanesOptions {
  readonly stream: Omit<MessageStream<DownUp, DownDown>, "deliver">;
  readonly agentId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What decides which messages a lane takes. Asked anew for every entry: a plugin may become sealed. */
  readonly sealOf: (lane: Lane) => Promise<LaneIntake>;
}

/** One lane as it is open on this tunnel. */
interface OpenLane {
  readonly lane: Lane;
  /** Set once Nexus has said `opened`; entries before that belong to a former opening. */
  opened: boolean;
  queue: IncomingEntry[];
  storing: Promise<void> | undefined;
  attempt: number;
  closed: boolean;
}

/** The lanes of one session, from the tunnel into their inboxes (DESIGN §4): `stored` is said after the fsync, never before. */
export class DownLanes {
  readonly #options: DownLanesOptions;
  readonly #lanes = new Map<string, OpenLane>();
  readonly #stop = new AbortController();
  /** Why the stream ended; never rejects. */
  readonly ended: Promise<Fault>;

  /** Reads the stream at once. */
  constructor(options: DownLanesOptions) {
    this.#options = options;
    this.ended = this.#listen();
  }

  /** Opens a lane with the cursor of its inbox; one that is open already stays as it is. */
  open(lane: Lane): void {
    if (this.#stop.signal.aborted || this.#lanes.has(lane.name)) return;
    const open = { lane, opened: false, queue: [], storing: undefined, attempt: 0, closed: false };
    this.#lanes.set(lane.name, open);
    this.#sendOpen(open);
  }

  /** Names of the lanes that are open, or on their way to be. */
  names(): readonly string[] {
    return [...this.#lanes.keys()];
  }

  /** Gives a lane up; resolves when nothing of it is being stored any more. */
  async close(name: string): Promise<void> {
    const open = this.#lanes.get(name);
    if (open === undefined) return;
    this.#lanes.delete(name);
    open.closed = true;
    this.#send({ type: "close", plugin: name });
    await open.storing;
  }

  /** Takes nothing any more; resolves when nothing is being stored: another tunnel may open the lanes then. */
  async stop(): Promise<void> {
    this.#stop.abort(new Fault("closed"));
    const storing = [...this.#lanes.values()].map((open) => open.storing);
    for (const open of this.#lanes.values()) open.closed = true;
    this.#lanes.clear();
    await Promise.all(storing);
  }

  async #listen(): Promise<Fault> {
    try {
      for await (const message of this.#options.stream.receive()) this.#take(message);
      return new Fault("closed", "Nexus ended the down stream");
    } catch (error) {
      return asFault(error, "internal");
    }
  }

  #take(message: DownDown): void {
    const open = this.#lanes.get(message.plugin);
    if (open === undefined) return; // closed here meanwhile: it comes again on the next opening
    switch (message.type) {
      case "opened":
        open.opened = true;
        open.attempt = 0;
        break;
      case "entry":
        this.#enqueue(open, readIncoming(message.body, this.#origin(open, message.cursor, message.time)));
        break;
      case "unreadable": {
        const code = isFaultCode(message.code) ? message.code : "malformed";
        this.#enqueue(open, unreadableEntry(this.#origin(open, message.cursor, this.#options.clock.now()), code));
        break;
      }
      case "refused":
        this.#refused(open, message.code);
        break;
    }
  }

  #origin({ lane }: OpenLane, { created, seq }: { created: string; seq: number }, at: number): EntryOrigin {
    const { agentId, clock, random } = this.#options;
    const newId = () => hex(random(16));
    return { agent: agentId, plugin: lane.name, created, seq, at, now: clock.now(), newId };
  }

  #enqueue(open: OpenLane, entry: IncomingEntry): void {
    if (!open.opened) return;
    open.queue.push(entry);
    open.storing ??= this.#store(open).finally(() => {
      open.storing = undefined;
    });
  }

  /** Stores what gathered, again and again until nothing is left; waits while the inbox is full or the disk takes nothing. */
  async #store(open: OpenLane): Promise<void> {
    const { inbox, name } = open.lane;
    while (open.queue.length > 0 && !open.closed) {
      const batch = takeBatch(open.queue);
      const [last] = batch.slice(-1);
      const bytes = batch.reduce((sum, entry) => sum + entry.body.length, 0);
      await this.#untilRoom(open, bytes);
      if (open.closed || last === undefined) return;
      try {
        await inbox.store(await this.#checked(open.lane, batch));
      } catch (error) {
        const { code, message } = asFault(error, "database");
        this.#options.log.error("entries can't be stored", { plugin: name, code, reason: message });
        open.queue.unshift(...batch);
        await this.#pause(storeRetryMs);
        continue;
      }
      // Not of a former opening: Nexus takes a word about what it has not sent in this one for a lie.
      if (open.opened && !open.closed)
        this.#send({ type: "stored", plugin: name, cursor: { created: last.created, seq: last.seq } });
    }
  }

  /** Entries without what their lane does not take. */
  async #checked(lane: Lane, batch: readonly IncomingEntry[]): Promise<IncomingEntry[]> {
    const { clock, random, sealOf } = this.#options;
    const intake = await sealOf(lane);
    const origin = { now: Math.floor(clock.now()), newId: () => hex(random(16)) };
    const taken = new Set<string>();
    const had = async (id: string) => taken.has(id) || (await lane.inbox.had(id, origin.now));
    const checked: IncomingEntry[] = [];
    for (const entry of batch) {
      const left = await checkIncoming(entry, intake, origin, had);
      for (const message of left.messages) if (message !== null) taken.add(message.id);
      checked.push(left);
    }
    return checked;
  }

  async #untilRoom({ lane }: OpenLane, bytes: number): Promise<void> {
    const { signal } = this.#stop;
    while (!lane.inbox.fits(bytes) && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          unlisten();
          cancel();
          signal.removeEventListener("abort", done);
          resolve();
        };
        const unlisten = lane.inbox.onChange(done);
        // Room may come from another lane too: the total is shared.
        const cancel = this.#options.clock.after(storeRetryMs, done);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }

  #refused(open: OpenLane, code: string): void {
    const { clock, random, log } = this.#options;
    open.opened = false;
    open.queue = [];
    const delayMs = backOffMs(open.attempt++, reopenRange, 0.5 + (random(1)[0] ?? 0) / 512);
    log.warn("lane refused, opened again later", { plugin: open.lane.name, code, delayMs: Math.round(delayMs) });
    clock.after(delayMs, () => void this.#reopen(open));
  }

  async #reopen(open: OpenLane): Promise<void> {
    await open.storing;
    if (!open.closed && !this.#stop.signal.aborted) this.#sendOpen(open);
  }

  #sendOpen(open: OpenLane): void {
    const { name, inbox } = open.lane;
    this.#send({ type: "open", plugin: name, cursor: inbox.cursor });
  }

  /** What can't be sent any more needs no answer: the stream's end is told by `ended`. */
  #send(message: DownUp): void {
    if (!this.#stop.signal.aborted) this.#options.stream.send(message).catch(() => undefined);
  }

  async #pause(delayMs: number): Promise<void> {
    await sleep(this.#options.clock, delayMs, { signal: this.#stop.signal }).catch(() => undefined); // stopped: the loop sees it
  }
}

/** The first entries of a queue, as many as are stored together. */
function takeBatch(queue: IncomingEntry[]): IncomingEntry[] {
  let bytes = 0;
  let count = 0;
  while (count < queue.length && (count === 0 || bytes <= storeBytesMax)) bytes += queue[count++]?.body.length ?? 0;
  return queue.splice(0, count);
}
