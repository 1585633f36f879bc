import type { Database } from "#lib/runtime";
import { HeldMessages } from "./held-messages.ts";
import { LaneInbox } from "./inbox.ts";
import type { LaneRow } from "./lane-row.ts";
import { LaneOutbox } from "./outbox.ts";
import { PluginState } from "./plugin-state.ts";
import { Quota } from "./quota.ts";

/** Both halves of one lane and what belongs to them. */
export interface Lane {
  readonly id: number;
  readonly name: string;
  readonly inbox: LaneInbox;
  readonly outbox: LaneOutbox;
  readonly held: HeldMessages;
  readonly state: PluginState;
}

/** All lanes of this node: one per plugin, and `$node`. */
export class LaneStore {
  readonly #database: Database;
  readonly #inboxQuota: Quota;
  readonly #outboxQuota: Quota;
  readonly #lanes = new Map<string, Lane>();
  readonly #opening = new Map<string, Promise<Lane>>();
  readonly #listeners = new Set<(lane: Lane) => void>();

  constructor(database: Database, inboxBytesMax: number, outboxBytesMax: number) {
    this.#database = database;
    this.#inboxQuota = new Quota(inboxBytesMax);
    this.#outboxQuota = new Quota(outboxBytesMax);
  }

  /** Reads every lane that ever had something: what lies in an outbox goes up whether its plugin still runs or not. */
  async load(): Promise<void> {
    for (const row of await this.#database.read<LaneRow>("SELECT * FROM lane")) await this.#add(row);
  }

  all(): readonly Lane[] {
    return [...this.#lanes.values()];
  }

  /** Calls `listener` when a lane is made. */
  onLane(listener: (lane: Lane) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The lane of this name, made if there is none. */
  async lane(name: string): Promise<Lane> {
    const held = this.#lanes.get(name);
    if (held !== undefined) return held;
    const opening = this.#opening.get(name) ?? this.#make(name);
    this.#opening.set(name, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(name);
    }
  }

  /** Quotas of a lane, in bytes; absent = the total of all lanes. */
  limit(lane: Lane, { inboxBytes = Infinity, outboxBytes = Infinity }: { inboxBytes?: number; outboxBytes?: number }) {
    this.#inboxQuota.limit(lane.id, inboxBytes);
    this.#outboxQuota.limit(lane.id, outboxBytes);
  }

  async #make(name: string): Promise<Lane> {
    await this.#database.write([{ sql: "INSERT OR IGNORE INTO lane (name) VALUES (?)", params: [name] }]);
    const [row] = await this.#database.read<LaneRow>("SELECT * FROM lane WHERE name = ?", [name]);
    if (row === undefined) throw new TypeError("a lane that was just written is not there");
    const lane = await this.#add(row);
    for (const listener of this.#listeners) listener(lane);
    return lane;
  }

  async #add(row: LaneRow): Promise<Lane> {
    const database = this.#database;
    const lane = {
      id: row.id,
      name: row.name,
      inbox: new LaneInbox(database, row, this.#inboxQuota, this.#outboxQuota),
      outbox: new LaneOutbox(database, row, this.#outboxQuota),
      held: new HeldMessages(database, row.id),
      state: new PluginState(database, row.name),
    };
    await Promise.all([lane.inbox.count(), lane.outbox.count()]);
    this.#lanes.set(row.name, lane);
    return lane;
  }
}
