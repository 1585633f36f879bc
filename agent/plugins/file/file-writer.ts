import { utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { atomicWrite, fileFacts, moveFile, paths, removeFile } from "#lib/runtime";
import { type FileConfig, idSchema } from "#lib/session";
import type { DownDelivery, PluginHost } from "../plugin.ts";

type DownConfig = NonNullable<FileConfig["down"]>;

const memory = "writing";
/** Read and written by its owner and group, less what the umask takes: who fetches it is often another user. */
const mode = 0o660;
const nameBytesMax = 255;

/**
 * Writes each message as a file that appears whole and once. The body lies beside its place before the id is remembered, and only
 * then gets its name: who finds its id remembered and the body gone knows that it was there, even if it was fetched since.
 */
export class FileWriter {
  readonly #config: DownConfig;
  readonly #host: PluginHost;

  /** Fault `config` when the name can't be one of a file on every platform. */
  constructor(config: DownConfig, host: PluginHost) {
    this.#config = config;
    this.#host = host;
    const name = config.name.replaceAll("{id}", "x".repeat(64));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must not be in a name
    if (/[<>:"|?*\\/\u0000-\u001f]|[. ]$/.test(name) || utf8(name).length > nameBytesMax)
      throw new Fault("config", "the name holds characters that a file name can't have, or is too long");
  }

  /** Resolves when the file is durable under its name. Faults: `refused`, `system_unavailable`, `disk_full`, `not_allowed_here`. */
  async deliver({ id, body }: DownDelivery): Promise<void> {
    if (!idSchema.safeParse(id).success) throw new Fault("refused", "the id can't stand in a file name");
    try {
      await this.#write(id, body);
    } catch (error) {
      throw asDelivery(error);
    }
  }

  /** Resolves when a file can be written there. */
  async check(): Promise<void> {
    const folder = await this.#host.site.allowPath(this.#config.directory);
    const path = paths.join(folder, `.mercury-${this.#host.name}.check`);
    await atomicWrite(path, "", { mode });
    await removeFile(path);
  }

  async #write(id: string, body: Uint8Array): Promise<void> {
    const folder = await this.#host.site.allowPath(this.#config.directory);
    const place = paths.join(folder, this.#config.name.replaceAll("{id}", id));
    const beside = paths.join(folder, `.mercury-${this.#host.name}-${id}.part`);
    if ((await this.#host.recall(memory)) === id) {
      if ((await fileFacts(beside)) !== undefined) await moveFile(beside, place);
      return;
    }
    await atomicWrite(beside, body, { mode });
    await this.#host.emit([], { [memory]: id });
    await moveFile(beside, place);
  }
}

/** A directory that is gone, or a disk that fails, is no fault of the message. */
function asDelivery(error: unknown): unknown {
  if (!(error instanceof Fault)) return error;
  const waits = error.code === "not_found" || error.code === "unavailable" || error.code === "conflict";
  return waits
    ? new Fault("system_unavailable", `the directory can't be written: ${error.message}`, { cause: error })
    : error;
}
