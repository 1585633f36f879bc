import type { Clock, Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { LogLevel } from "#lib/log";
import { settleHeld } from "../lanes/settle-held.ts";
import type { RunningPlugins } from "../running/plugin-runner.ts";
import type { AgentStatus } from "../status.ts";
import type { Store } from "../store/open-store.ts";
import type { CommandHandlers } from "./command-runner.ts";

export interface CommandHandlerParts {
  readonly plugins: RunningPlugins;
  readonly store: Pick<Store, "identity" | "lanes">;
  readonly clock: Clock;
  readonly random: Random;
  readonly status: () => AgentStatus;
  readonly setLogLevel: (level: LogLevel) => void;
  readonly reconnect: () => void;
  /** Asks for a credential, with the next identity change where there is one. */
  readonly refresh: () => Promise<void>;
}

/** What each command does on this node. */
export function makeCommandHandlers(parts: CommandHandlerParts): CommandHandlers {
  const { plugins, store, clock, random, status, setLogLevel, reconnect, refresh } = parts;
  return {
    async check({ plugin }) {
      const checked = plugin === undefined ? plugins.all() : [plugins.get(plugin)];
      await Promise.all(checked.map((one) => one.check()));
      return checked.map((one) => one.health());
    },
    async "collect-now"({ plugin }) {
      const { collectNow } = plugins.get(plugin).plugin;
      if (collectNow === undefined) throw new Fault("invalid", "this plugin does not poll");
      return { messages: await collectNow.call(plugins.get(plugin).plugin) };
    },
    async reconnect() {
      // After the answer is on its way: the session that carries it ends.
      clock.after(500, reconnect);
    },
    async rotate() {
      const { identity } = await store.identity.beginRotation();
      await refresh();
      return { change: identity.last.hash };
    },
    async "log-level"({ level }) {
      setLogLevel(level);
    },
    async bundle() {
      return {
        status: status(),
        lanes: store.lanes
          .all()
          .map(({ name, inbox, outbox }) => ({ name, inbox: inbox.held(), outbox: outbox.held() })),
      };
    },
    async settle({ plugin, message, decision }) {
      const lane = store.lanes.all().find(({ name }) => name === plugin);
      if (lane === undefined) throw new Fault("unknown_plugin");
      const executor = plugins.all().find(({ desired }) => desired.name === plugin)?.executor;
      await settleHeld({ lane, executor, message, decision, clock, random });
    },
  };
}
