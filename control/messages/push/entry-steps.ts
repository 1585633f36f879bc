import { type Bytes, hex } from "#lib/bytes";
import { type Clock, type Random, sleep } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import { type DownMessage, encodeEntry } from "#lib/session";
import { type Db, isUnmet, type Seals } from "../../db/index.ts";
import type { Lane } from "../../lanes/index.ts";
import { messagesOfLane, place, type Reservation, release, reserve } from "../repo.ts";
import { pushEntries } from "../tables.ts";
import type { Carried, Carry } from "./carry.ts";
import type { EntrySteps, Queued } from "./lane-publisher.ts";
import { type Targets, targetGate } from "./target.ts";

/** Where the broker put an entry. */
export interface Published {
  /** Life of the stream: positions of another life mean nothing. */
  readonly created: string;
  readonly seq: number;
}

/** Publishes one entry of a down lane under an id that stores it once. */
export type PublishDown = (
  lane: { readonly agent: string; readonly plugin: string },
  entry: Bytes,
  token: string,
) => Promise<Published>;

export interface EntryStepDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly publishDown: PublishDown;
  readonly targets: Pick<Targets, "refusal" | "sealed">;
  readonly carry: Carry;
  /** Holds the process open until this write is durable. */
  readonly track: (work: Promise<unknown>) => void;
}

const conflictTries = 5;
/** A publish whose outcome is unknown is repeated under its id for this long before the caller is told. */
const publishPatienceMs = 8_000;
const publishPauseMs = 100;
/** Another process takes an entry over after this: longer than its maker tries. Were it at work still, no harm: the id is the same. */
export const entryHeldMs = 10_000;
const retryAfterMs = 2_000;

interface Prepared extends Reservation {
  readonly queued: readonly Queued[];
  readonly bytes: Bytes;
}

/** A message that has to go, with the place that its row has already. */
interface Wanted {
  readonly queued: Queued;
  readonly formerPlace?: number;
}

type Loaded = Wanted & { readonly carried: Carried };

/** Rows first, then the broker, then the callers (DESIGN §4). */
export function makeEntrySteps(deps: EntryStepDeps): EntrySteps {
  const { db, clock } = deps;

  /** Settles what is stored already or conflicts; the rest with the place that each has now. */
  async function classify(lane: Lane, batch: readonly Queued[]): Promise<Wanted[]> {
    const keyed = batch.filter(({ bodyHash }) => bodyHash !== undefined);
    if (keyed.length === 0) return batch.map((queued) => ({ queued }));
    const ids = keyed.map(({ id }) => id);
    const known = new Map((await messagesOfLane(db, lane.id, ids)).map((row) => [row.id, row]));
    return batch.flatMap((queued) => {
      const row = known.get(queued.id);
      if (row === undefined) return [{ queued }];
      if (row.bodyHash !== queued.bodyHash) queued.settle(new Fault("idempotency_conflict"));
      else if (row.state !== "queued") queued.settle({ id: row.id, repeated: true });
      else return [{ queued, formerPlace: row.place }];
      return [];
    });
  }

  /** What goes with each; who can't go is told. */
  async function load(lane: Lane, sealed: boolean, wanted: readonly Wanted[]): Promise<Loaded[]> {
    const carried = await deps.carry(
      lane,
      sealed,
      wanted.map(({ queued }) => queued),
    );
    return wanted.flatMap((one, index): Loaded[] => {
      const message = carried[index] ?? new Fault("internal");
      if (!(message instanceof Fault)) return [{ ...one, carried: message }];
      one.queued.settle(message);
      return [];
    });
  }

  async function prepare(lane: Lane, wanted: readonly Loaded[]): Promise<Prepared> {
    const now = clock.now();
    const token = hex(deps.random(16));
    const messages = wanted.map(({ queued: { id }, carried }): DownMessage => ({ id, time: now, ...carried }));
    const bytes = encodeEntry({ v: 1, agent: lane.agentId, plugin: lane.plugin, messages });
    return {
      token,
      lane: lane.id,
      createdAt: now,
      heldUntil: now + entryHeldMs,
      entry: await deps.seals.seal(pushEntries.entry, token, bytes),
      bytes,
      queued: wanted.map(({ queued }) => queued),
      messages: wanted.map(({ queued: { id, item, bodyHash }, carried, formerPlace }) => ({
        id,
        size: item.body.length,
        contentType: carried.contentType ?? null,
        bodyHash: bodyHash ?? null,
        replays: item.replays ?? null,
        formerPlace,
      })),
    };
  }

  async function write(lane: Lane, batch: readonly Queued[]): Promise<Prepared | undefined> {
    for (let tried = 1; ; tried++) {
      const sealed = await deps.targets.sealed(lane);
      const wanted = await load(lane, sealed, await classify(lane, batch));
      if (wanted.length === 0) return undefined;
      const prepared = await prepare(lane, wanted);
      try {
        await db.write(targetGate(lane, sealed), ...reserve(prepared));
        return prepared;
      } catch (error) {
        if (isUnmet(error, 0)) {
          const why = await deps.targets.refusal(lane, sealed);
          if (why !== undefined) throw why;
        }
        const raced = error instanceof Fault && error.code === "conflict";
        if (!raced || tried >= conflictTries) throw error;
      }
    }
  }

  /** The receipt. Fault `lane_full`, or what stands in the way after some patience. */
  async function publish(lane: Lane, prepared: Prepared): Promise<Published> {
    const until = clock.monotonic() + publishPatienceMs;
    for (;;) {
      try {
        return await deps.publishDown({ agent: lane.agentId, plugin: lane.plugin }, prepared.bytes, prepared.token);
      } catch (error) {
        const fault = asFault(error, "broker");
        if (fault.code !== "broker" || clock.monotonic() >= until) throw fault;
        await sleep(clock, publishPauseMs);
      }
    }
  }

  async function publishAndSettle(lane: Lane, prepared: Prepared): Promise<void> {
    try {
      const { created, seq } = await publish(lane, prepared);
      deps.track(db.writeLater(place(prepared.token, created, seq)));
      prepared.queued.forEach(({ id, settle }, index) => {
        settle({ id, repeated: prepared.messages[index]?.formerPlace !== undefined });
      });
    } catch (error) {
      const fault = asFault(error, "broker");
      deps.log.warn("an entry was not published", { lane: lane.id, error: fault });
      // The caller is told that it was not taken, so that it may come again; with a key it is the same message even
      // if the broker has it after all.
      await db.write(...release(prepared)).catch((cause: unknown) => {
        deps.log.error("an entry that was not published keeps its rows", { lane: lane.id, error: cause });
      });
      const told =
        fault.code === "lane_full" ? fault : new Fault("unavailable", "the broker did not take it", { cause: fault });
      const detail = { ...told.detail, retryAfterMs };
      for (const { settle } of prepared.queued)
        settle(new Fault(told.code, told.message, { detail, cause: told.cause }));
    }
  }

  return {
    async reserve(lane, batch) {
      try {
        const prepared = await write(lane, batch);
        return prepared === undefined ? undefined : () => publishAndSettle(lane, prepared);
      } catch (error) {
        const fault = asFault(error, "internal");
        for (const { settle } of batch) settle(fault); // those settled before stay as they are
        return undefined;
      }
    },
  };
}
