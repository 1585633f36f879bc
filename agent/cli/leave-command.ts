import { Fault } from "#lib/fault";
import { exclusiveLock, paths, removeFile, writeOut } from "#lib/runtime";
import { storePath } from "../agent-store.ts";
import type { AgentConfig } from "../config.ts";

/**
 * `mercury leave`: this machine forgets its identity and everything it holds. Solaris is not asked: an agent that should never
 * be let in again is revoked there.
 */
export async function leaveCommand(config: AgentConfig, options: { readonly yes: boolean }): Promise<void> {
  if (!options.yes)
    throw new Fault(
      "bad_request",
      `this deletes the identity and every message that waits in ${config.dataDirectory}; say so with --yes`,
    );
  {
    using _lock = exclusiveLock(paths.join(config.dataDirectory, "lock.db"));
    const store = storePath(config.dataDirectory);
    for (const path of [store, `${store}-wal`, `${store}-shm`, config.keyFile]) await removeFile(path);
  }
  writeOut(
    [
      "This machine has left: its identity, its messages and the key file of its store are gone.",
      `Kept on purpose: ${config.siteFile} (what plugins may reach); a key in the system's key store, which opens nothing now.`,
      "Revoke the agent in Solaris so that a copy made earlier can't come back.",
      "",
    ].join("\n"),
  );
}
