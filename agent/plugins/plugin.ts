import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { Log } from "#lib/log";
import type { SiteFetch } from "../site/site-fetch.ts";
import type { SiteGuard } from "../site/site-guard.ts";

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
 * system named one): the lane waits, no try is spent; `refused`: a try is spent; `plugin_failed` (a 500, a bug): as `refused`
 * once `check` has succeeded, else as unavailable; `outcome_unknown`: the request went out and it can't be known what became
 * of it. `disk_full` and `not_allowed_here` wait for whoever runs the site. All else counts as `plugin_failed`.
 */
export interface Plugin extends AsyncDisposable {
  /**
   * Whether calling `deliver` again for a message whose outcome is not known is harmless. `last`: for the last one that it was given,
   * and for no other; so those before it are marked durably before it is called.
   */
  readonly repeatable: boolean | "last";
  /** Begins to collect and listen. Rejects with a Fault when the configuration can't work here. */
  start(): Promise<void>;
  /** Takes the way that data takes; resolves when the system is well, else rejects with a Fault that says why. */
  check(signal: AbortSignal): Promise<void>;
  /** Resolves when the system has said yes. Absent where nothing can be delivered. */
  deliver?(message: DownDelivery, signal: AbortSignal): Promise<void>;
  /** Collects at once, outside the schedule; answers how many messages came. Absent where nothing is polled. */
  collectNow?(): Promise<number>;
  /** Why nothing comes up at the moment, if so; shown with the plugin's state. No secret. */
  trouble?(): string | undefined;
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
  readonly site: SiteGuard;
  /** Calls a system that the list allows, with the site's CA settings; redirects are not followed. */
  readonly fetch: SiteFetch;
  /**
   * Stores messages for the cloud and what the plugin wants to remember (null = forget) in one transaction; answers
   * their ids once both are durable. Faults `lane_full`, `disk_full`: nothing was stored.
   */
  emit(messages: readonly Collected[], remember?: Readonly<Record<string, string | null>>): Promise<string[]>;
  /** What was remembered under `name`. */
  recall(name: string): Promise<string | undefined>;
  /** Names that begin with `prefix`, the oldest first, at most `limit`. */
  recallNames(prefix: string, limit: number): Promise<string[]>;
  /** Forgets names that begin with `prefix` and were remembered before `beforeMs`. */
  forget(prefix: string, beforeMs: number): Promise<void>;
}
