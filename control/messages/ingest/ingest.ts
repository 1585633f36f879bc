import type { Clock } from "#lib/clock";
import type { Watermark } from "#lib/delivery";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Db, Seals } from "../../db/index.ts";
import type { Lane } from "../../lanes/index.ts";
import type { Lease } from "../../leases/index.ts";
import type { MessageMetrics } from "../message-metrics.ts";
import { quarantine } from "../tables.ts";
import { ArrivalQueue, type BrokerEntry } from "./arrival-queue.ts";
import { type EffectDeps, type Effects, effectsOf, type UpArrival } from "./entry-effects.ts";
import type { LaneChecks } from "./lane-checks.ts";
import { insertQuarantine } from "./statements.ts";

/** Opens the queue of all up lanes, taking it over from whoever has it. */
export type OpenUp = (options: {
  readonly onEntry: (entry: BrokerEntry) => void;
  readonly onClosed: (fault: Fault) => void;
  readonly unconfirmedMax: number;
  readonly unconfirmedBytesMax: number;
}) => Promise<{ confirm(seq: number): void; close(): Promise<void> }>;

export interface IngestDeps extends EffectDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly clock: Clock;
  readonly log: Log;
  readonly openUp: OpenUp;
  readonly metrics: Pick<MessageMetrics, "quarantined">;
  /** The lane of a subject; undefined when there is no such agent, or it never had such a plugin. */
  readonly laneOf: (agentId: string, plugin: string) => Promise<Lane | undefined>;
  readonly checksOf: LaneChecks;
  /** Something was stored: who waits for it looks. */
  readonly stored: (counts: { readonly entries: number; readonly messages: number }) => void;
}

const groupEntriesMax = 64;
const groupBytesMax = 1_048_576;
const unconfirmedMax = 512;
const unconfirmedBytesMax = 8 * 1_048_576;

/** What no lane has: entries of agents or plugins that do not exist. */
export const noLane = 0;

/**
 * Takes what came up into the database, in the one replica that holds `lease`: every set begins with the lease's fence,
 * so what a former holder still writes fails. Ends when the signal aborts; rejects when the lease or the broker is lost.
 */
export async function ingest(deps: IngestDeps, lease: Lease, signal: AbortSignal): Promise<void> {
  const queue = new ArrivalQueue(signal);
  const source = await deps.openUp({
    onEntry: (entry) => queue.put(entry),
    onClosed: (fault) => queue.end(fault),
    unconfirmedMax,
    unconfirmedBytesMax,
  });
  const watermarks = new Map<number, Watermark>();
  try {
    for (;;) {
      const group = await queue.take(groupEntriesMax, groupBytesMax);
      const last = group.at(-1);
      if (last === undefined) return;
      await storeGroup(deps, lease, group, watermarks);
      source.confirm(last.seq);
    }
  } finally {
    await source.close();
  }
}

/** Writes a group as one set; when that fails for one entry's sake, each alone, and the guilty one into quarantine. */
async function storeGroup(
  deps: IngestDeps,
  lease: Lease,
  group: readonly BrokerEntry[],
  watermarks: Map<number, Watermark>,
): Promise<void> {
  try {
    await store(deps, lease, group, watermarks);
  } catch (error) {
    if (isFenced(error)) throw error;
    if (error instanceof Fault && error.entry.retry) throw error; // the database's trouble, not an entry's
    deps.log.warn("a group was not stored; each entry goes alone", { entries: group.length, error });
    for (const entry of group) await storeAlone(deps, lease, entry, watermarks);
  }
}

async function storeAlone(
  deps: IngestDeps,
  lease: Lease,
  entry: BrokerEntry,
  watermarks: Map<number, Watermark>,
): Promise<void> {
  watermarks.clear();
  try {
    await store(deps, lease, [entry], watermarks);
  } catch (error) {
    if (isFenced(error)) throw error;
    if (error instanceof Fault && error.entry.retry) throw error;
    deps.log.error("an entry can't be stored", { seq: entry.seq, error });
    const code = error instanceof Fault ? error.code : "internal";
    const lane = (await deps.laneOf(entry.agent, entry.plugin))?.id ?? noLane;
    await deps.db.write(lease.fence, await strangeEntry(deps, entry, lane, code, "it could not be stored"));
    deps.metrics.quarantined(code);
    watermarks.clear();
  }
}

const isFenced = (error: unknown) =>
  error instanceof Fault && error.code === "conflict" && error.detail.expectation === 0;

async function store(
  deps: IngestDeps,
  lease: Lease,
  group: readonly BrokerEntry[],
  watermarks: Map<number, Watermark>,
): Promise<void> {
  const lanes = await Promise.all(group.map(({ agent, plugin }) => deps.laneOf(agent, plugin)));
  const checks = await deps.checksOf([...new Set(lanes.flatMap((lane) => (lane === undefined ? [] : [lane.id])))]);
  const all: Effects[] = [];
  const moved = new Map<number, Watermark>();
  const strange = [];
  for (const [index, entry] of group.entries()) {
    const lane = lanes[index];
    if (lane === undefined) {
      strange.push(
        await strangeEntry(deps, entry, noLane, "unknown_plugin", "no such agent, or it has no such plugin"),
      );
      deps.metrics.quarantined("unknown_plugin");
      continue;
    }
    const { created, seq, id, bytes } = entry;
    const arrival: UpArrival = { lane, created, seq, id, bytes, check: checks.get(lane.id) };
    const before = moved.get(lane.id) ?? watermarks.get(lane.id) ?? (await readWatermark(deps.db, lane.id));
    const effects = await effectsOf(deps, arrival, before);
    moved.set(lane.id, effects.watermark);
    all.push(effects);
    if (effects.refused !== undefined) {
      deps.log.warn("an entry was put into quarantine", { lane: lane.id, seq: entry.seq, code: effects.refused });
      deps.metrics.quarantined(effects.refused);
    }
  }
  await deps.db.write(lease.fence, ...all.flatMap(({ statements }) => statements), ...strange);
  for (const [lane, watermark] of moved) remember(watermarks, lane, watermark);
  deps.stored({ entries: group.length, messages: all.reduce((sum, { stored }) => sum + stored, 0) });
}

const watermarksMax = 100_000;

function remember(watermarks: Map<number, Watermark>, lane: number, watermark: Watermark): void {
  if (watermarks.size >= watermarksMax) watermarks.clear();
  watermarks.set(lane, watermark);
}

async function readWatermark(db: Db, lane: number): Promise<Watermark> {
  const sql = "SELECT up_generation AS generation, up_number AS number FROM lanes WHERE id = ?";
  const [row] = await db.read<Watermark>(sql, [lane]);
  return row ?? { generation: 0, number: 0 };
}

async function strangeEntry(deps: IngestDeps, entry: BrokerEntry, lane: number, code: string, reason: string) {
  const origin = `${entry.agent}.${entry.plugin}/${entry.created}/${entry.seq}/${entry.id}`;
  return insertQuarantine({
    lane,
    kind: "entry",
    code,
    reason,
    message: null,
    contentType: "application/cbor",
    size: entry.bytes.length,
    at: deps.clock.now(),
    origin,
    body: await deps.seals.seal(quarantine.body, origin, entry.bytes),
  });
}
