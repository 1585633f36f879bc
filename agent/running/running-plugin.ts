import { asFault } from "#lib/fault";
import type { DesiredPlugin, PluginHealth } from "#lib/session";
import { LaneExecutor } from "../lanes/lane-executor.ts";
import type { LaneSeal } from "../lanes/lane-seal.ts";
import { makePlugin } from "../plugins/index.ts";
import type { Plugin } from "../plugins/plugin.ts";
import type { Lane } from "../store/lane-store.ts";
import { type HostParts, makePluginHost } from "./plugin-host.ts";

/** A check that takes longer has failed. */
const checkTimeoutMs = 10_000;

/** One plugin as it runs: the connector, and the lane that hands it messages. */
export class RunningPlugin implements AsyncDisposable {
  readonly desired: DesiredPlugin;
  readonly plugin: Plugin;
  readonly lane: Lane;
  readonly #parts: HostParts;
  readonly #executor: LaneExecutor;
  #checked:
    | { readonly ok: boolean; readonly reason?: string; readonly latencyMs: number; readonly at: number }
    | undefined;
  #checking: Promise<void> | undefined;

  private constructor(desired: DesiredPlugin, plugin: Plugin, lane: Lane, seal: LaneSeal, parts: HostParts) {
    this.desired = desired;
    this.plugin = plugin;
    this.lane = lane;
    this.#parts = parts;
    this.#executor = new LaneExecutor({
      lane,
      plugin,
      settings: desired.lane,
      seal,
      clock: parts.clock,
      random: parts.random,
      log: parts.log.child(desired.name),
    });
  }

  /** Makes and starts the connector, then lets its messages come. Rejects with a Fault, and nothing runs, when it can't. */
  static async start(
    desired: DesiredPlugin,
    lane: Lane,
    seal: LaneSeal,
    parts: HostParts,
    options: { readonly testConnectors: boolean },
  ): Promise<RunningPlugin> {
    const plugin = makePlugin(desired.type, desired.config, makePluginHost(parts, lane, seal), options);
    try {
      await plugin.start();
    } catch (error) {
      await plugin[Symbol.asyncDispose]();
      throw error;
    }
    return new RunningPlugin(desired, plugin, lane, seal, parts);
  }

  /** Why it stands still, in either direction; undefined while it goes on. */
  get waiting(): string | undefined {
    return this.#executor.waiting ?? this.plugin.trouble?.();
  }

  get executor(): LaneExecutor {
    return this.#executor;
  }

  /** Takes the way that data takes; a check under way is shared. What it found is in `health`. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /** What the last check said, and what waits. */
  health(): PluginHealth {
    const { inbox, outbox } = this.lane;
    const checked = this.#checked;
    const reason = this.waiting === undefined ? checked?.reason : `waiting: ${this.waiting}`;
    return {
      plugin: this.desired.name,
      ok: checked?.ok ?? false,
      ...(reason === undefined ? {} : { reason: reason.slice(0, 500) }),
      ...(checked === undefined ? {} : { latencyMs: checked.latencyMs, checkedAt: checked.at }),
      inboxMessages: inbox.held().messages,
      inboxBytes: inbox.held().bytes,
      outboxMessages: outbox.held().messages,
      outboxBytes: outbox.held().bytes,
    };
  }

  /** Takes no more, lets a call under way end, frees what the connector holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#executor[Symbol.asyncDispose](), this.plugin[Symbol.asyncDispose]()]);
  }

  async #check(): Promise<void> {
    const { clock } = this.#parts;
    const began = clock.monotonic();
    const timeout = new AbortController();
    const cancel = clock.after(checkTimeoutMs, () => timeout.abort(asFault(undefined, "timeout", "no answer in time")));
    const done = (outcome: { ok: boolean; reason?: string }) => {
      this.#checked = { ...outcome, latencyMs: clock.monotonic() - began, at: clock.now() };
    };
    try {
      await this.plugin.check(timeout.signal);
      done({ ok: true });
    } catch (error) {
      done({ ok: false, reason: asFault(error, "plugin_failed").message.slice(0, 500) });
    } finally {
      cancel();
    }
  }
}
