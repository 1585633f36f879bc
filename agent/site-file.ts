import { z } from "zod";
import { fromUtf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { atomicWrite, fileFacts, paths, readFileBytes } from "#lib/runtime";
import type { SiteList } from "./plugins/site.ts";

const bytesMax = 256 * 1024;

const host = z.string().regex(/^(\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):(\d{1,5}|\*)$/, "HOST:PORT, or HOST:* for every port");
const directory = z.string().refine((path) => paths.isAbsolute(path), "an absolute path");

const siteSchema = z.strictObject({
  hosts: z.array(host).max(1_000).default([]),
  directories: z.array(directory).max(1_000).default([]),
});

const pathOf = (dataDirectory: string) => paths.join(dataDirectory, "site.json");

/** The site's own list (PROTOCOL §9); an empty one where there is no file. Fault `config` when it can't be read. */
export async function readSite(dataDirectory: string): Promise<SiteList> {
  const path = pathOf(dataDirectory);
  if ((await fileFacts(path)) === undefined) return { hosts: [], directories: [] };
  try {
    return siteSchema.parse(JSON.parse(fromUtf8(await readFileBytes(path, bytesMax))));
  } catch (cause) {
    throw new Fault("config", `${path} is not a list of hosts and directories`, { cause });
  }
}

/** Adds to the list; answers the whole. Fault `config` names the entry that is not one. */
export async function widenSite(dataDirectory: string, added: SiteList): Promise<SiteList> {
  const checked = siteSchema.safeParse(added);
  if (!checked.success) {
    const issue = checked.error.issues[0];
    const [list = "hosts", index] = issue?.path ?? [];
    const entry = list === "directories" ? added.directories[Number(index)] : added.hosts[Number(index)];
    throw new Fault("config", `"${entry}" can't be allowed: ${issue?.message}`);
  }
  const before = await readSite(dataDirectory);
  const both = {
    hosts: [...new Set([...before.hosts, ...checked.data.hosts])],
    directories: [...new Set([...before.directories, ...checked.data.directories.map((path) => paths.resolve(path))])],
  };
  await atomicWrite(pathOf(dataDirectory), `${JSON.stringify(both, null, 2)}\n`);
  return both;
}
