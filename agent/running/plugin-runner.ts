import { Fault } from "#lib/fault";
import type { DesiredPlugin, PluginHealth } from "#lib/session";
import type { PluginRunner } from "../desired/reconciler.ts";
import type { LaneSeals } from "../lanes/lane-seals.ts";
import type { LaneStore } from "../store/lane-store.ts";
import type { HostParts } from "./plugin-host.ts";
import { RunningPlugin } from "./running-plugin.ts";

export interface RunningPluginsOptions extends HostParts {
  readonly lanes: LaneStore;
  readonly seals: LaneSeals;
  readonly testConnectors: boolean;
  /** A plugin came or went: lanes are to be opened or closed. */
  readonly onChange: () => void;
}

/** The plugins that run on this node, by name. */
export class RunningPlugins implements PluginRunner, AsyncDisposable {
  readonly #options: RunningPluginsOptions;
  readonly #running = new Map<string, RunningPlugin>();

  constructor(options: RunningPluginsOptions) {
    this.#options = options;
  }

  running(): ReadonlyMap<string, DesiredPlugin> {
    return new Map([...this.#running].map(([name, { desired }]) => [name, desired]));
  }

  all(): readonly RunningPlugin[] {
    return [...this.#running.values()];
  }

  /** The plugin of this name. Fault `unknown_plugin` when none runs. */
  get(name: string): RunningPlugin {
    const plugin = this.#running.get(name);
    if (plugin === undefined)
      throw new Fault("unknown_plugin", "no plugin of this name runs here", { detail: { name } });
    return plugin;
  }

  async run(desired: DesiredPlugin): Promise<void> {
    const { lanes, testConnectors, onChange } = this.#options;
    await this.#end(desired.name);
    const lane = await lanes.lane(desired.name);
    const seal = await this.#options.seals.set(lane, desired); // also when it then can't start
    const { inboxBytes, outboxBytes } = desired.lane;
    lanes.limit(lane, {
      ...(inboxBytes === undefined ? {} : { inboxBytes }),
      ...(outboxBytes === undefined ? {} : { outboxBytes }),
    });
    this.#running.set(desired.name, await RunningPlugin.start(desired, lane, seal, this.#options, { testConnectors }));
    onChange();
  }

  async stop(name: string): Promise<void> {
    await this.#end(name);
    this.#options.onChange();
  }

  health(): PluginHealth[] {
    return this.all().map((plugin) => plugin.health());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#end(name)));
  }

  async #end(name: string): Promise<void> {
    const plugin = this.#running.get(name);
    this.#running.delete(name);
    await plugin?.[Symbol.asyncDispose]();
  }
}
