import { hex } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { Log } from "#lib/log";
import type { LaneSeal } from "../lanes/lane-seal.ts";
import type { PluginHost } from "../plugins/plugin.ts";
import type { SiteFetch } from "../site/site-fetch.ts";
import type { SiteGuard } from "../site/site-guard.ts";
import type { Lane } from "../store/lane-store.ts";
import { encodeUp } from "../store/up-letters.ts";

const idBytes = 16;
/** No plugin's name for anything: those begin otherwise. */
const idKeyName = "$sealed-ids";

/** What every plugin of this node shares. */
export interface HostParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly site: SiteGuard;
  readonly fetch: SiteFetch;
}

/** A plugin's view of Mercury: its own lane's outbox and memory, and nobody else's. */
export function makePluginHost({ clock, random, log, site, fetch }: HostParts, lane: Lane, seal: LaneSeal): PluginHost {
  /** What ids of sealed messages are made under; this node's alone. */
  const idKey = async () => {
    const known = await lane.state.get(idKeyName);
    if (known !== undefined) return known;
    const made = hex(random(32));
    await lane.state.write([lane.state.set(idKeyName, made, clock.now())]);
    return (await lane.state.get(idKeyName)) ?? made;
  };
  return {
    name: lane.name,
    clock,
    random,
    log: log.child(lane.name),
    site,
    fetch,
    emit: async (messages, remember = {}) => {
      const now = clock.now();
      const stamped = await Promise.all(
        messages.map(async ({ id = hex(random(idBytes)), contentType, body }) => ({
          kind: "data" as const,
          id: await seal.upId(id, idKey),
          time: now,
          ...(contentType === undefined ? {} : { contentType }),
          body,
        })),
      );
      const also = Object.entries(remember).map(([name, value]) => lane.state.set(name, value, now));
      await lane.outbox.append(
        stamped.map((message) => encodeUp(message)),
        also,
      );
      return stamped.map(({ id }) => id);
    },
    recall: (name) => lane.state.get(name),
    recallNames: (prefix, limit) => lane.state.names(prefix, limit),
    forget: (prefix, beforeMs) => lane.state.write([lane.state.forget(prefix, beforeMs)]),
  };
}
