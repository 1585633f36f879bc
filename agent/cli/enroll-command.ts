import { chooseSuite } from "#lib/crypto";
import { hostFacts, systemClock, systemRandom, writeOut } from "#lib/runtime";
import { openAgentStore, openNetwork } from "../agent-store.ts";
import type { AgentConfig } from "../config.ts";
import { lockData } from "../data-lock.ts";
import { enroll } from "../enrollment/enroll.ts";
import { SiteFile } from "../site/site-file.ts";
import { agentVersion } from "../version.ts";
import { findToken, type TokenSources } from "./token.ts";

export interface EnrollOptions extends TokenSources {
  readonly allow: readonly string[];
  readonly allowDirectories: readonly string[];
}

/** `mercury enroll`: makes the identity, redeems the token, keeps the site's own list. */
export async function enrollCommand(config: AgentConfig, options: EnrollOptions): Promise<void> {
  if (options.argument !== undefined)
    writeOut("warning: a token on the command line can be read by other users; prefer --token-file\n", "stderr");
  const token = await findToken(config, options);
  using _lock = lockData(config, "it is enrolled; see `mercury status`");
  const site = await new SiteFile(config.siteFile).add(options.allow, options.allowDirectories);
  const suite = await chooseSuite();
  const opened = await openAgentStore(config, { suite, random: systemRandom, clock: systemClock }, { create: true });
  if (opened === undefined) throw new TypeError("a store that was to be made is not there");
  await using store = opened.store;
  if (opened.key.created && opened.key.source === "file")
    writeOut(
      `warning: no key store here, so the key of the store lies in ${config.keyFile} (readable by its owner only)\n`,
      "stderr",
    );
  const { platform, hostname } = hostFacts();
  const enrolled = await enroll(
    {
      store,
      suite,
      random: systemRandom,
      clock: systemClock,
      network: await openNetwork(config),
      host: { version: agentVersion, platform, hostname },
      allowInsecure: config.allowInsecure,
    },
    token,
  );
  const allowed = [...site.allow, ...site.directories];
  writeOut(
    [
      `Enrolled as ${enrolled.agentId} at ${enrolled.gateway}`,
      `  identity   ${enrolled.identifier}`,
      `  data       ${config.dataDirectory}`,
      `  may reach  ${allowed.length === 0 ? "nothing yet (mercury allow HOST:PORT)" : allowed.join(", ")}`,
      "Start it with: mercury run",
      "",
    ].join("\n"),
  );
}
