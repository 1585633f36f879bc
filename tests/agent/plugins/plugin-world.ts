import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromUtf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { type LogSink, makeLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { decodeUpEntry, type UpMessage } from "#lib/session";
import { AgentStores } from "#support/agent-store";
import { encodeUpEntry } from "../../../agent/lanes/up-entry.ts";
import { makePlugin } from "../../../agent/plugins/index.ts";
import type { Plugin, PluginHost } from "../../../agent/plugins/plugin.ts";
import { makePluginHost } from "../../../agent/running/plugin-host.ts";
import { makeSiteFetch, type SiteWay } from "../../../agent/site/site-fetch.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";
import type { Lane } from "../../../agent/store/lane-store.ts";
import { unsealed } from "../../support/unsealed.ts";

export interface WorldOptions {
  readonly allow?: readonly string[];
  readonly directories?: readonly string[];
  readonly clock?: Clock;
  readonly outboxBytes?: number;
  /** The site's proxies and authorities. Default none. */
  readonly way?: SiteWay;
  /** What names lead to. */
  readonly names?: Readonly<Record<string, readonly string[]>>;
}

/** A store, a lane and a host as Mercury makes them, for one plugin named `p`. */
export class PluginWorld implements AsyncDisposable {
  readonly lane: Lane;
  readonly host: PluginHost;
  /** Everything that was logged. */
  readonly logged: { readonly level: string; readonly message: string; readonly fields: unknown }[];
  readonly #stores: AgentStores;
  readonly #plugins: Plugin[] = [];
  readonly #folders: string[] = [];

  private constructor(stores: AgentStores, lane: Lane, host: PluginHost, logged: PluginWorld["logged"]) {
    this.#stores = stores;
    this.lane = lane;
    this.host = host;
    this.logged = logged;
  }

  static async open(options: WorldOptions = {}): Promise<PluginWorld> {
    const { clock = systemClock, outboxBytes, names } = options;
    const stores = new AgentStores();
    const store = await stores.open(await stores.path(), clock, outboxBytes === undefined ? {} : { outboxBytes });
    const lane = await store.lanes.lane("p");
    const logged: PluginWorld["logged"] = [];
    const sink: LogSink = (level, _category, message, fields) => logged.push({ level, message, fields });
    const list = { allow: [...(options.allow ?? ["127.0.0.1:*"])], directories: [...(options.directories ?? [])] };
    const site = makeSiteGuard(
      () => list,
      ...(names === undefined ? [] : [async (name: string) => names[name] ?? [name]]),
    );
    const fetch = makeSiteFetch(site, options.way ?? (() => ({})));
    const host = makePluginHost(
      { clock, random: systemRandom, log: makeLog(sink), site, fetch },
      lane,
      await unsealed("p"),
    );
    return new PluginWorld(stores, lane, host, logged);
  }

  /** A folder of its own, without links in its path, that is gone afterwards. */
  static async folder(): Promise<string> {
    return await realpath(await mkdtemp(join(tmpdir(), "mercury-plugin-")));
  }

  keepFolder(folder: string): void {
    this.#folders.push(folder);
  }

  /** A plugin over this world's host, or over `host` where a test stands in its way. */
  make(type: string, config: unknown, host: PluginHost = this.host): Plugin {
    const plugin = makePlugin(type, config, host, { testConnectors: true });
    if (host === this.host) this.#plugins.push(plugin); // one that was killed never ends
    return plugin;
  }

  async start(type: string, config: unknown, host: PluginHost = this.host): Promise<Plugin> {
    const plugin = this.make(type, config, host);
    await plugin.start();
    return plugin;
  }

  /** All messages in the outbox, in order. */
  async outbox(): Promise<UpMessage[]> {
    return await this.#read(async () => undefined);
  }

  /** All messages in the outbox, in order, which are gone from it then: as if the broker had taken them. */
  async take(): Promise<UpMessage[]> {
    return await this.#read((lastK) => this.lane.outbox.acknowledged(lastK));
  }

  async #read(done: (lastK: number) => Promise<void>): Promise<UpMessage[]> {
    const all: UpMessage[] = [];
    for (let afterK = 0; ; ) {
      const batch = await this.lane.outbox.batch(afterK);
      if (batch === undefined) return all;
      const { generation, first, count, body, lastK } = batch;
      const entry = { plugin: "p", generation, first, count, status: undefined, messages: body };
      all.push(...decodeUpEntry(encodeUpEntry(entry)).messages);
      await done(lastK);
      afterK = lastK;
    }
  }

  async texts(): Promise<string[]> {
    return (await this.outbox()).map(({ body }) => fromUtf8(body));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plugin of this.#plugins) await plugin[Symbol.asyncDispose]();
    await this.#stores[Symbol.asyncDispose]();
    for (const folder of this.#folders) await rm(folder, { recursive: true, force: true });
  }
}

/** `host` that stops for ever at one of its calls of `emit`, before or after it took effect: as a killed process would. */
export function killedAt(
  host: PluginHost,
  call: number,
  when: "before" | "after",
): PluginHost & { killed: Promise<void> } {
  let calls = 0;
  let tell: () => void = () => undefined;
  const killed = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return {
    ...host,
    killed,
    emit: async (messages, remember) => {
      calls += 1;
      if (calls < call) return await host.emit(messages, remember);
      if (calls === call && when === "after") await host.emit(messages, remember);
      tell();
      return await new Promise<never>(() => undefined);
    },
  };
}
