import { Fault } from "#lib/fault";
import { exclusiveLock, paths } from "#lib/runtime";
import type { AgentConfig } from "./config.ts";

/** Holds the data directory for this process alone. Fault `conflict` when a Mercury runs on it; `todo` says what to do then. */
export function lockData({ dataDirectory }: Pick<AgentConfig, "dataDirectory">, todo: string): Disposable {
  try {
    return exclusiveLock(paths.join(dataDirectory, "lock.db"));
  } catch (cause) {
    if (!(cause instanceof Fault && cause.code === "conflict")) throw cause;
    throw new Fault("conflict", `a Mercury runs on ${dataDirectory}: ${todo}`, { cause });
  }
}
