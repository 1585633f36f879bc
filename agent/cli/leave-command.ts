import { chooseSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { fileFacts, writeOut } from "#lib/runtime";
import { type ForgottenStore, forgetAgentStore } from "../agent-store.ts";
import type { AgentConfig } from "../config.ts";
import { lockData } from "../data-lock.ts";

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
  using _lock = lockData(config, "stop it first");
  const forgotten = await forgetAgentStore(config, await chooseSuite());
  writeOut(forgotten.store === "none" ? `No agent lives in ${config.dataDirectory}.\n` : farewell(config));
  writeOut(await rest(config, forgotten));
}

const farewell = ({ dataDirectory }: AgentConfig) =>
  [
    `This machine has left: the identity and the messages in ${dataDirectory} are gone.`,
    "Revoke the agent in Solaris so that a copy made earlier can't come back.",
    "",
  ].join("\n");

/** What became of the key, and what is kept on purpose. */
async function rest({ environment, siteFile, keyFile }: AgentConfig, { file, keyStore }: ForgottenStore) {
  const lines: string[] = [];
  if (file === "removed") lines.push(`  removed  the key of its store, ${keyFile}`);
  if (keyStore === "removed") lines.push("  removed  the key of its store from the system's key store");
  if (keyStore === "refused")
    lines.push("  kept     the key in the system's key store, which refused to remove it; it opens nothing now");
  if (environment.CREDENTIALS_DIRECTORY !== undefined || environment.MERCURY_STORE_KEY !== undefined)
    lines.push("  kept     a key that systemd or MERCURY_STORE_KEY gives: it is not Mercury's to remove");
  if ((await fileFacts(siteFile)) !== undefined)
    lines.push(`  kept     ${siteFile}, on purpose: what plugins may reach here`);
  return lines.map((line) => `${line}\n`).join("");
}
