import { writeOut } from "#lib/runtime";
import type { AgentConfig } from "../config.ts";
import { SiteFile } from "../site/site-file.ts";

/** `mercury allow`: adds to the site's own list, or shows it. A running agent takes it at its next use. */
export async function allowCommand(
  config: AgentConfig,
  hosts: readonly string[],
  directories: readonly string[],
): Promise<void> {
  const site = await new SiteFile(config.siteFile).add(hosts, directories);
  writeOut(
    [
      `hosts        ${site.allow.join(", ") || "none"}`,
      `directories  ${site.directories.join(", ") || "none"}`,
      "",
    ].join("\n"),
  );
}
