import { Fault } from "#lib/fault";
import type { FileConfig } from "#lib/session";
import { Background } from "../background.ts";
import type { DownDelivery, Plugin, PluginHost } from "../plugin.ts";
import { FileCollector } from "./file-collector.ts";
import { FileWriter } from "./file-writer.ts";

/** `file`: writes each message as a file, picks whole files up from a directory. */
export class FilePlugin implements Plugin {
  readonly repeatable = "last";
  readonly deliver?: (message: DownDelivery, signal: AbortSignal) => Promise<void>;
  readonly collectNow?: () => Promise<number>;
  readonly #directories: readonly string[];
  readonly #host: PluginHost;
  readonly #background = new Background();
  readonly #writer: FileWriter | undefined;
  readonly #collector: FileCollector | undefined;

  /** Fault `config` when a name can't be one of a file. */
  constructor({ down, up }: FileConfig, host: PluginHost) {
    this.#host = host;
    this.#directories = [down?.directory, up?.directory].filter((directory) => directory !== undefined);
    if (down !== undefined) {
      const writer = new FileWriter(down, host);
      this.#writer = writer;
      this.deliver = (message) => writer.deliver(message);
    }
    if (up !== undefined) {
      const collector = new FileCollector(up, host, this.#background);
      this.#collector = collector;
      this.collectNow = () => collector.collectNow();
    }
  }

  async start(): Promise<void> {
    for (const directory of this.#directories) await this.#allowed(directory);
    this.#collector?.begin();
  }

  async check(): Promise<void> {
    await this.#writer?.check();
    await this.#collector?.check();
  }

  trouble(): string | undefined {
    return this.#collector?.trouble;
  }

  facts(): Readonly<Record<string, string | number>> {
    return this.#collector?.facts ?? {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#background[Symbol.asyncDispose]();
    await this.#collector?.idle();
  }

  /**
   * A directory that was never there is a mistake in the configuration; one that was, and is not now, is a share that will be
   * mounted again.
   */
  async #allowed(directory: string): Promise<void> {
    const memory = `directory ${directory}`;
    try {
      await this.#host.site.allowPath(directory);
      if ((await this.#host.recall(memory)) === undefined) await this.#host.emit([], { [memory]: "seen" });
    } catch (error) {
      const gone = error instanceof Fault && error.code === "not_found";
      if (!gone || (await this.#host.recall(memory)) === undefined) throw error;
      this.#host.log.warn("directory not there now", { directory });
    }
  }
}
