import { asFault, type Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { DesiredPlugin, DesiredReport } from "#lib/session";
import type { ItemRecord, ItemStore } from "../store/item-store.ts";
import { lastGood, plan, resumed, type Step } from "./plan.ts";

/** Runs plugins by name. */
export interface PluginRunner {
  /** The forms that run now. */
  running(): ReadonlyMap<string, DesiredPlugin>;
  /**
   * Runs this form in place of any other of its name; rejects with a Fault when it can't, and then nothing of
   * that name runs.
   */
  run(plugin: DesiredPlugin): Promise<void>;
  stop(name: string): Promise<void>;
}

export interface ReconcilerOptions {
  readonly items: ItemStore;
  readonly runner: PluginRunner;
  readonly log: Log;
  /** Brings what is no plugin to what is wanted; resolves with what to report of it. */
  readonly others?: () => Promise<DesiredReport["items"]>;
  /** Stores the report; durable when it resolves. */
  readonly report: (report: DesiredReport) => Promise<void>;
}

/** Brings what runs to what is wanted, one pass at a time; a newer desired state that comes meanwhile is the next pass'. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  #number = 0;
  #pass: Promise<void> = Promise.resolve();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** After a start: runs what ran, the last good form where the newest had failed. Resolves when all was tried. */
  async resume(number: number): Promise<void> {
    this.#number = number;
    await this.#options.others?.(); // first: nothing of it waits for a plugin's system
    for (const item of await this.#options.items.all()) {
      const plugin = resumed(item);
      if (!plugin.enabled) continue;
      const fault = await this.#try({ act: "run", plugin });
      if (fault === undefined && plugin.version === item.wanted.version) await this.#options.items.applied(plugin);
      if (fault !== undefined && plugin.version === item.wanted.version)
        await this.#options.items.failed(plugin, fault.code, fault.message);
    }
  }

  /** A newer desired state lies in the store. Resolves when it was applied and reported, or a newer one was in its place. */
  apply(number: number): Promise<void> {
    const pass = async () => {
      if (number <= this.#number) return; // a pass before took this one's items already
      const skipped = Math.max(0, number - this.#number - 1);
      this.#number = number;
      await this.#reconcile(number, skipped);
    };
    this.#pass = this.#pass.then(pass, pass);
    return this.#pass;
  }

  async #reconcile(number: number, skipped: number): Promise<void> {
    const { items, runner, log, report } = this.#options;
    if (skipped > 0) log.info("newer desired state applied alone", { number, skipped });
    const others = (await this.#options.others?.()) ?? [];
    const removed: string[] = [];
    const before = new Map((await items.all()).map((item) => [item.name, item]));
    for (const step of plan([...before.values()], runner.running())) {
      const fault = await this.#try(step);
      if (step.act === "stop") removed.push(step.name);
      else if (fault === undefined) await items.applied(step.plugin);
      else {
        await items.failed(step.plugin, fault.code, fault.message.slice(0, 500));
        await this.#fallBack(before.get(step.plugin.name), step.plugin);
      }
    }
    const own = this.#reportOf(number, skipped, await items.all(), removed);
    await report({ ...own, items: [...own.items, ...others] });
  }

  /** The last good form, where the newest could not be applied. */
  async #fallBack(item: ItemRecord | undefined, wanted: DesiredPlugin): Promise<void> {
    const good = item === undefined ? null : lastGood(item, wanted);
    if (good === null || !good.enabled) return;
    const fault = await this.#try({ act: "run", plugin: good });
    if (fault === undefined)
      this.#options.log.warn("kept the last good form", { plugin: good.name, version: good.version });
  }

  async #try(step: Step): Promise<Fault | undefined> {
    const { runner, log } = this.#options;
    const name = step.act === "stop" ? step.name : step.plugin.name;
    try {
      if (step.act === "run") await runner.run(step.plugin);
      else await runner.stop(name);
      log.info(step.act === "run" ? "plugin runs" : "plugin stopped", {
        plugin: name,
        ...(step.act === "run" ? { type: step.plugin.type, version: step.plugin.version } : {}),
      });
      return undefined;
    } catch (error) {
      const fault = asFault(error, "plugin_failed", "the plugin could not be started");
      log.error("plugin can't run", { plugin: name, code: fault.code, reason: fault.message });
      return fault;
    }
  }

  #reportOf(number: number, skipped: number, items: readonly ItemRecord[], removed: readonly string[]): DesiredReport {
    const running = this.#options.runner.running();
    return {
      number,
      ...(skipped > 0 ? { skipped } : {}),
      items: [
        ...items.map((item) => ({
          kind: "plugin" as const,
          name: item.name,
          actual: running.get(item.name)?.version ?? 0,
          wanted: item.wanted.version,
          state: item.state === "pending" ? ("failed" as const) : item.state,
          ...(item.code === null ? {} : { code: item.code }),
          ...(item.reason === null ? {} : { reason: item.reason }),
        })),
        ...removed.map((name) => ({ kind: "plugin" as const, name, actual: 0, wanted: 0, state: "removed" as const })),
      ],
    };
  }
}
