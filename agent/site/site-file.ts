import { fromUtf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { checkHostRule } from "#lib/hosts";
import { atomicWrite, fileFacts, paths, readFileBytes } from "#lib/runtime";
import { emptySiteList, type SiteList, siteListSchema } from "./site-list.ts";

const bytesMax = 256 * 1024;

/** The file with the site's own list: `site.json` in the data directory, or the one that the configuration names. */
export class SiteFile {
  readonly path: string;
  #list: SiteList = emptySiteList;
  #stamp = "";

  constructor(path: string) {
    this.path = path;
  }

  /** The list as last read. */
  get list(): SiteList {
    return this.#list;
  }

  /** Reads the file again if it changed; a missing one allows nothing. Fault `config` when it can't be understood: the last list stays. */
  async read(): Promise<SiteList> {
    const facts = await fileFacts(this.path);
    const stamp = facts === undefined ? "none" : `${facts.inode} ${facts.modifiedMs} ${facts.sizeBytes}`;
    if (stamp === this.#stamp) return this.#list;
    this.#list = facts === undefined ? emptySiteList : parse(await readFileBytes(this.path, bytesMax), this.path);
    this.#stamp = stamp;
    return this.#list;
  }

  /** Adds lines and directories that are not there yet. Fault `config` for one that can't be used. */
  async add(lines: readonly string[], directories: readonly string[]): Promise<SiteList> {
    for (const line of lines) checkHostRule(line);
    for (const directory of directories)
      if (!paths.isAbsolute(directory))
        throw new Fault("config", "a directory on the site's list must be an absolute path", { detail: { directory } });
    const held = await this.read();
    const list = {
      allow: [...new Set([...held.allow, ...lines])],
      directories: [...new Set([...held.directories, ...directories])],
    };
    await atomicWrite(this.path, `${JSON.stringify(siteListSchema.parse(list), null, 2)}\n`);
    return await this.read();
  }
}

function parse(bytes: Uint8Array, path: string): SiteList {
  try {
    const list = siteListSchema.parse(JSON.parse(fromUtf8(bytes)));
    for (const line of list.allow) checkHostRule(line);
    return list;
  } catch (cause) {
    throw new Fault("config", "the file with the site's own list can't be understood", { detail: { path }, cause });
  }
}
