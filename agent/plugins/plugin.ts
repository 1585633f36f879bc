import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { Log } from "#lib/log";
import type { Site } from "./site.ts";

/** A message from the cloud as a plugin sees it. */
export interface DownDelivery {
  /** Stable over tries, restarts and replays: what a system sees as `Idempotency-Key`. 1 … 64 of `[A-Za-z0-9_-]`. */
  readonly id: string;
  readonly contentType?: string | undefined;
  readonly body: Bytes;
}

/** A message for the cloud. */
export interface Collected {
  /** Stable where the system has one, so that a repeat is known as such; drawn when absent. 1 … 64 of `[A-Za-z0-9_-]`. */
  readonly id?: string;
  readonly contentType?: string;
  /** At most `bodyBytesMax`. */
  readonly body: Bytes;
}

/**
 * A running connector.
 * What `deliver` rejects with says what happens next (DESIGN §4): Fault `system_unavailable` (detail `retryAfterMs`, if the
 * system named one): the lane waits, no try is spent; `refused`: a try is spent; `outcome_unknown`: the request went out
 * and no answer came. All else counts as `refused`.
 */
export interface Plugin extends AsyncDisposable {
  /** Whether calling `deliver` again for a message whose outcome is not known is harmless. */
  readonly repeatable: boolean;
  /** Begins to collect and listen. Rejects with a Fault when the configuration can't work here. */
  start(): Promise<void>;
  /** Takes the way that data takes; resolves when the system is well, else rejects with a Fault that says why. */
  check(signal: AbortSignal): Promise<void>;
  /** Resolves when the system has said yes. Absent where nothing can be delivered. */
  deliver?(message: DownDelivery, signal: AbortSignal): Promise<void>;
  /** Collects at once, outside the schedule; answers how many messages came. Absent where nothing is polled. */
  collectNow?(): Promise<number>;
  /** What an operator wants to see, such as the port that was taken. */
  facts?(): Readonly<Record<string, string | number>>;
}

/** What Mercury gives a plugin. */
export interface PluginHost {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The site's own list, asked at every use. */
  readonly site: Site;
  /** `fetch` with the site's proxy and CA settings. */
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /**
   * Stores messages for the cloud and what the plugin wants to remember (null = forget) in one transaction; answers
   * their ids once both are durable. Faults `lane_full`, `disk_full`: nothing was stored.
   */
  emit(messages: readonly Collected[], remember?: Readonly<Record<string, string | null>>): Promise<string[]>;
  /** What was remembered under `name`. */
  recall(name: string): Promise<string | undefined>;
}
