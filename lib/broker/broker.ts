import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";

/** A lane from cloud to site. Names match `[A-Za-z0-9_-]{1,64}`. */
export interface DownLane {
  readonly kind: "down";
  readonly agent: string;
  readonly plugin: string;
}

/** A lane from site to cloud; `plugin` may be `$node`. */
export interface UpLane {
  readonly kind: "up";
  readonly agent: string;
  readonly plugin: string;
}

/** What ingest stored of a lane, for other cloud services. */
export interface EventLane {
  readonly kind: "event";
  readonly agent: string;
  readonly plugin: string;
}

/** Orders to one agent: kept for 10 minutes, read at every session opening and heard while it is open. */
export interface CommandQueue {
  readonly kind: "command";
  readonly agent: string;
}

/** Where an entry can be published. */
export type Destination = DownLane | UpLane | EventLane | CommandQueue;

/** What can be opened: one down lane; all up lanes as one queue (ingest alone reads it); all events. */
export type Source = DownLane | { readonly kind: "up" } | { readonly kind: "event" };

/**
 * Something of which only the newest value counts. `desired` and `revocations` outlive everything; `node` (a replica's lease)
 * is gone 15 s after its last write; `agent` (which replica holds a session slot) lives in memory until the broker restarts.
 */
export type ValueName =
  | { readonly kind: "desired"; readonly agent: string }
  | { readonly kind: "revocations" }
  | { readonly kind: "node"; readonly replica: string }
  | { readonly kind: "agent"; readonly agent: string; readonly slot: 0 | 1 };

/**
 * Plain messages: at most once, to whoever listens now. `session` concerns one agent's sessions, `gateways` every Nexus, `relay` what
 * one replica of Nexus is to pass on to its tunnels.
 */
export type Topic =
  | { readonly kind: "session"; readonly agent: string }
  | { readonly kind: "gateways" }
  | { readonly kind: "relay"; readonly replica: string };

/** What can be listened to; `*` = of every agent or replica. */
export type Heard =
  | Topic
  | CommandQueue
  | Exclude<ValueName, { readonly kind: "agent" }>
  | { readonly kind: "agent"; readonly agent: string; readonly slot: 0 | 1 | "*" };

/**
 * How far a reader has come: when the broker's stream was made (opaque text, at most 64 characters; another one means
 * another stream, whose sequence counts from its start) and sequence of the last entry taken.
 */
export interface Cursor {
  readonly created: string;
  readonly seq: number;
}

/** One published batch. */
export interface Entry extends Cursor {
  /** Id under which it was published. */
  readonly id: string;
  readonly agent: string;
  readonly plugin: string;
  /** When the broker took it, ms since 1970 by its clock. */
  readonly timeMs: number;
  readonly bytes: Bytes;
}

/** The broker has stored it. `duplicate`: it was there already under this id; `seq` is that of the first. */
export interface Receipt extends Cursor {
  readonly duplicate: boolean;
}

/** Where the entries of an opened source go. */
export interface OpenOptions {
  /** Last entry that the reader has stored; what comes again through it is confirmed and dropped here. */
  readonly cursor?: Cursor | undefined;
  /**
   * Each entry once per opening, in order. At most `unconfirmedMax` entries and `unconfirmedBytesMax` bytes (or one larger entry)
   * are unconfirmed at a time: that is the back-pressure, so this must not throw and need not wait.
   */
  onEntry(entry: Entry): void;
  /** Once, when the broker's side ended it: `displaced` (opened elsewhere), `broker`, `closed`. Not after `close()`. */
  onClosed(fault: Fault): void;
  /** Default `laneUnconfirmedMax`. */
  readonly unconfirmedMax?: number;
  /** Default `laneUnconfirmedBytesMax`. */
  readonly unconfirmedBytesMax?: number;
}

/** An opened source. */
export interface OpenSource {
  /** The stream's creation time now: a cursor with another one counted in a stream that is gone. */
  readonly created: string;
  /**
   * Every entry through `seq` is stored at the reader: the broker may forget them. Cumulative, never awaited: what
   * is lost on the way comes again at or below a cursor and is dropped.
   */
  confirm(seq: number): void;
  /** Gives the source up; resolves when the confirmations have gone out. May be called twice. */
  close(): Promise<void>;
}

/** A last value. `revision` counts up with every write of any value of its kind. */
export interface Value {
  readonly bytes: Bytes;
  readonly revision: number;
  /** When it was written, ms since 1970 by the broker's clock. */
  readonly timeMs: number;
}

/** Ends a listening; calling it again does nothing. */
export type Unlisten = () => void;

/** One holding of a lease. */
export interface Lease {
  readonly name: string;
  /** Fencing number: higher than that of every holding before. */
  readonly number: number;
  /** Holds it for another term. False when it was lost. Fault `broker` when that can't be known. */
  renew(): Promise<boolean>;
  release(): Promise<void>;
}

/** How full one of the broker's streams is. An alarm is due from 0.7 on, where it refuses. */
export interface Usage {
  readonly name: string;
  readonly bytes: number;
  readonly bytesMax: number;
  /** Whether it refuses what comes once it is full; else it drops its oldest, as it is meant to. */
  readonly refuses: boolean;
}

/**
 * The broker as our programs see it (DESIGN §5). Faults of every call: `broker` (no answer, cut, refused: the outcome is unknown),
 * `broker_settings`, `closed`.
 */
export interface Broker extends AsyncDisposable {
  /**
   * Stores `bytes` (at most `entryBytesMax`). Resolves once it is durable; on Fault `broker` the outcome is unknown and the
   * caller publishes again under the same `id` (1 … 64 of `[A-Za-z0-9_-]`), which is stored once within the dedup window (2 minutes);
   * not so when it was confirmed and the broker restarted meanwhile, so readers look at message ids too.
   * Order holds for a lane when the caller has one publish of it in flight.
   * Fault `lane_full` (detail `limit`: `lane` or `broker`) when the lane's or the stream's quota is used up, `too_large`.
   */
  publish(to: Destination, bytes: Uint8Array, id: string): Promise<Receipt>;
  /** Takes the source over from whoever has it and reads on behind `cursor`. */
  open(source: Source, options: OpenOptions): Promise<OpenSource>;
  /** Commands of this agent that have not expired, oldest first, behind sequence `after` (default 0); at most 100. */
  commands(agent: string, after?: number): Promise<Entry[]>;

  /** The newest value, or undefined. */
  get(name: ValueName): Promise<Value | undefined>;
  /** All values of `kind`, by their names. At most 100,000. */
  list(kind: "node" | "agent"): Promise<{ readonly name: ValueName; readonly value: Value }[]>;
  /**
   * Writes a value and tells listeners. With `expect` only when its revision is that (0 = there is none): else Fault
   * `conflict`. Resolves with the new revision.
   */
  put(name: ValueName, bytes: Uint8Array, options?: { readonly expect?: number }): Promise<number>;
  /** Removes a value; `expect` as in `put`. */
  remove(name: ValueName, options?: { readonly expect?: number }): Promise<void>;

  /** Sends a plain message: at most once, no answer. */
  send(topic: Topic, bytes: Uint8Array): void;
  /**
   * Hears plain messages, commands and writes of values as they happen. A hint: what is missed is found by reading. `about` = the
   * agent or replica that it concerns, which with `*` nothing else tells; empty where it concerns none.
   */
  listen(to: Heard, hear: (bytes: Bytes, about: string) => void): Unlisten;

  /** The lease, if nobody holds it or the holder's term has passed. */
  acquire(lease: string, holder: string, termMs: number): Promise<Lease | undefined>;

  /** Calls `act` after every reconnect, once lanes and listeners are back: presence is rewritten whole then. */
  onRestored(act: () => void): Unlisten;
  /** Resolves when the broker answers and its streams are exactly as they must be; else Fault `broker` or `broker_settings`. */
  check(): Promise<void>;
  usage(): Promise<Usage[]>;
}
