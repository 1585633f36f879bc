import { Fault } from "#lib/fault";
import { atomicWrite, fileFacts, makeDirectory, moveFile, paths, removeFile } from "#lib/runtime";
import type { FileConfig } from "#lib/session";
import type { PluginHost } from "../plugin.ts";
import { stableId } from "../stable-id.ts";
import { isSameVersion, type PickedFile, putAwayName } from "./picked-file.ts";

const mode = 0o770;

/** Moves files out of the way, into folders below the directory that they came to. */
export class PutAway {
  readonly #after: NonNullable<FileConfig["up"]>["after"];
  readonly #host: Pick<PluginHost, "site">;

  constructor(after: NonNullable<FileConfig["up"]>["after"], host: Pick<PluginHost, "site">) {
    this.#after = after;
    this.#host = host;
  }

  /** A file that is durable in the outbox: archived or deleted. One that changed since is another one, and stays. */
  async stored(directory: string, file: PickedFile): Promise<void> {
    const path = paths.join(directory, file.name);
    const facts = await fileFacts(path);
    if (facts === undefined || !isSameVersion(facts, file)) return;
    if (this.#after === "delete") await removeFile(path);
    else await moveFile(path, paths.join(await this.#folder(directory, "archive"), putAwayName(file, file.id)));
  }

  /** A file that can't go up: `rejected`, with the reason beside it. */
  async rejected(directory: string, file: Omit<PickedFile, "id">, reason: string): Promise<void> {
    const folder = await this.#folder(directory, "rejected");
    const id = await stableId(file.name, String(file.sizeBytes), String(file.modifiedMs));
    const to = paths.join(folder, putAwayName(file, id));
    await atomicWrite(`${to}.reason.txt`, `${reason}\n`, { mode: mode & 0o666 });
    await moveFile(paths.join(directory, file.name), to);
  }

  /** A folder below `directory`; a link in its place would lead elsewhere. */
  async #folder(directory: string, name: string): Promise<string> {
    const path = paths.join(directory, name);
    await makeDirectory(path, { mode });
    if ((await this.#host.site.allowPath(path)) !== path)
      throw new Fault("not_allowed_here", `the folder "${name}" is a link to another one`);
    return path;
  }
}
