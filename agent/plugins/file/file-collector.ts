import { backOffMs } from "#lib/delivery";
import { asFault, Fault } from "#lib/fault";
import { batchBytes, bodyBytesMax, directoryEntriesMax, fileBatchMax, filesLeftMax } from "#lib/limits";
import {
  type FileFacts,
  fileFacts,
  listDirectory,
  paths,
  readRegularFile,
  type Unwatch,
  watchDirectory,
} from "#lib/runtime";
import type { FileConfig } from "#lib/session";
import { type Background, Bell } from "../background.ts";
import { emitPatiently } from "../emit-patiently.ts";
import { fraction } from "../fraction.ts";
import type { Collected, PluginHost } from "../plugin.ts";
import { stableId } from "../stable-id.ts";
import { contentTypeOf } from "./content-type.ts";
import { namePattern } from "./name-pattern.ts";
import { isSameVersion, type PickedFile, readPicked } from "./picked-file.ts";
import { PutAway } from "./put-away.ts";
import { Settling } from "./settling.ts";

type UpConfig = NonNullable<FileConfig["up"]>;

const memory = "picked";
/** Network shares tell nothing of changes: the directory is looked at this often. */
const lookEveryMs = 5_000;
/** Changes that come in a crowd are one. */
const restMs = 50;
const failedRange = { firstMs: 1_000, maxMs: 60_000 };

/**
 * Picks whole files up from a directory, each once: stored with a note of which files these are in one transaction, then archived or
 * deleted, then the note is forgotten. What a note names after a restart is put away and not sent again.
 */
export class FileCollector {
  readonly #config: UpConfig;
  readonly #host: PluginHost;
  readonly #background: Background;
  readonly #matches: (name: string) => boolean;
  readonly #putAway: PutAway;
  readonly #settling: Settling;
  readonly #bell = new Bell();
  #turn: Promise<unknown> = Promise.resolve();
  #watched: { readonly directory: string; readonly unwatch: Unwatch } | undefined;
  /** Stored, and not put away yet: as noted on disk. Undefined before the note was read. */
  #picked: PickedFile[] | undefined;
  #trouble: string | undefined;
  #waiting: string | undefined;
  #failures = 0;
  #collected = 0;
  #rejected = 0;

  constructor(config: UpConfig, host: PluginHost, background: Background) {
    this.#config = config;
    this.#host = host;
    this.#background = background;
    this.#matches = namePattern(config.pattern);
    this.#putAway = new PutAway(config.after, host);
    this.#settling = new Settling(config.settleMs);
  }

  get facts(): Readonly<Record<string, number>> {
    return { collected: this.#collected, rejected: this.#rejected };
  }

  get trouble(): string | undefined {
    return this.#waiting ?? this.#trouble;
  }

  /** Watches until the background ends. */
  begin(): void {
    this.#background.begin(
      (signal) => this.#run(signal),
      (fault) => this.#host.log.error("picking up files ended", { code: fault.code, reason: fault.message }),
    );
  }

  /** Looks now; answers how many files were picked up. Those that still change are left for later. */
  async collectNow(): Promise<number> {
    const before = this.#collected;
    await this.#exclusive(() => this.#look(this.#background.signal));
    return this.#collected - before;
  }

  /** Resolves when the directory can be listed. */
  async check(): Promise<void> {
    await listDirectory(await this.#host.site.allowPath(this.#config.directory), { entriesMax: 1 });
  }

  /** Resolves when no look is under way. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    try {
      while (!signal.aborted) {
        const waitMs = await this.#exclusive(() => this.#lookOrFail(signal));
        const beganMs = clock.monotonic();
        await this.#bell.wait(clock, waitMs, signal);
        const restedMs = clock.monotonic() - beganMs;
        if (restedMs < restMs) await new Bell().wait(clock, restMs - restedMs, signal);
      }
    } finally {
      this.#watched?.unwatch();
    }
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // its caller hears of it
    return turn;
  }

  async #lookOrFail(signal: AbortSignal): Promise<number> {
    const { log, random } = this.#host;
    try {
      const waitMs = await this.#look(signal);
      this.#failures = 0;
      return waitMs;
    } catch (error) {
      if (signal.aborted) return 0;
      const fault = asFault(error, "plugin_failed");
      if (this.#trouble !== fault.message)
        log.warn("picking up files failed", { code: fault.code, reason: fault.message });
      this.#trouble = fault.message;
      this.#failures += 1;
      this.#watched?.unwatch(); // what comes in its place is another directory
      this.#watched = undefined;
      return backOffMs(this.#failures - 1, failedRange, 0.5 + fraction(random) / 2);
    } finally {
      this.#waiting = undefined;
    }
  }

  /** One look at the directory; answers when to look again, ms. */
  async #look(signal: AbortSignal): Promise<number> {
    const directory = await this.#host.site.allowPath(this.#config.directory);
    this.#watch(directory);
    this.#picked ??= await this.#found(directory);
    this.#trouble = undefined;
    await this.#putAwayPicked(directory);
    const entries = await listDirectory(directory, { entriesMax: directoryEntriesMax });
    const files = entries.filter(
      (entry) => entry.kind === "file" && this.#matches(entry.name) && !this.#isPicked(entry),
    );
    const { whole, againMs } = this.#settling.look(files, this.#host.clock.monotonic());
    for (let rest = whole; rest.length > 0; ) {
      signal.throwIfAborted();
      rest = await this.#batch(directory, rest, signal);
    }
    if (this.#picked.length === 0 && whole.length > 0) await this.#host.emit([], { [memory]: null });
    return Math.min(againMs ?? lookEveryMs, lookEveryMs);
  }

  /** Sends the first of `files` and puts them away; answers the rest. */
  async #batch(directory: string, files: readonly FileFacts[], signal: AbortSignal): Promise<FileFacts[]> {
    const messages: Collected[] = [];
    const picked: PickedFile[] = [];
    let [taken, bytes] = [0, 0];
    for (const file of files) {
      if (picked.length >= fileBatchMax || (bytes > 0 && bytes + file.sizeBytes > batchBytes)) break;
      taken += 1;
      const read = await this.#read(directory, file);
      if (read === undefined) continue;
      bytes += read.message.body.length;
      messages.push(read.message);
      picked.push(read.picked);
    }
    const held = this.#picked ?? [];
    if (held.length + picked.length > filesLeftMax)
      throw new Fault("plugin_failed", "too many files were sent and can't be put away");
    if (picked.length > 0) {
      const note = JSON.stringify([...held, ...picked]);
      await emitPatiently(this.#host, messages, { [memory]: note }, { signal, waits: (reason) => this.#wait(reason) });
      this.#waiting = undefined;
      this.#picked = [...held, ...picked];
      this.#collected += picked.length;
      await this.#putAwayPicked(directory);
    }
    return files.slice(taken);
  }

  /** The message of a file; undefined when it is gone, changes again, can't be read, or was rejected. */
  async #read(directory: string, file: FileFacts): Promise<{ message: Collected; picked: PickedFile } | undefined> {
    try {
      const { bytes, facts } = await readRegularFile(paths.join(directory, file.name), bodyBytesMax);
      if (!isSameVersion(facts, file)) return undefined;
      const { name, sizeBytes, modifiedMs, inode } = file;
      const id = await stableId("file", name, String(sizeBytes), String(modifiedMs), bytes);
      return {
        message: { id, contentType: contentTypeOf(name), body: bytes },
        picked: { name, sizeBytes, modifiedMs, inode, id },
      };
    } catch (error) {
      const fault = asFault(error, "plugin_failed");
      if (fault.code === "too_large") await this.#reject(directory, file);
      else if (fault.code !== "not_found" && fault.code !== "conflict")
        this.#tell("a file can't be read", file.name, fault);
      return undefined;
    }
  }

  async #reject(directory: string, file: FileFacts): Promise<void> {
    const reason = `larger than ${bodyBytesMax} bytes`;
    await this.#putAway.rejected(directory, file, `${file.name}: ${reason} (it has ${file.sizeBytes})`);
    this.#rejected += 1;
    this.#host.log.warn("file rejected", { file: file.name, reason, sizeBytes: file.sizeBytes });
  }

  async #putAwayPicked(directory: string): Promise<void> {
    const left: PickedFile[] = [];
    for (const file of this.#picked ?? []) {
      try {
        await this.#putAway.stored(directory, file);
      } catch (error) {
        left.push(file);
        this.#tell("a file was sent and can't be put away", file.name, asFault(error, "plugin_failed"));
      }
    }
    this.#picked = left;
  }

  /** Files of the last run's note that still lie there as they were sent. */
  async #found(directory: string): Promise<PickedFile[]> {
    const found: PickedFile[] = [];
    for (const noted of readPicked(await this.#host.recall(memory))) {
      const facts = await fileFacts(paths.join(directory, noted.name));
      if (facts === undefined || !isSameVersion(facts, noted)) continue;
      const read = await this.#read(directory, { ...facts, name: noted.name });
      if (read?.picked.id === noted.id) found.push(noted);
    }
    return found;
  }

  #isPicked(entry: FileFacts): boolean {
    return this.#picked?.some((file) => file.name === entry.name && isSameVersion(file, entry)) ?? false;
  }

  #watch(directory: string): void {
    if (this.#watched?.directory === directory) return;
    this.#watched?.unwatch();
    const ended = () => {
      this.#watched = undefined;
      this.#bell.ring();
    };
    this.#watched = { directory, unwatch: watchDirectory(directory, () => this.#bell.ring(), ended) };
  }

  #tell(what: string, file: string, fault: Fault): void {
    if (this.#trouble === undefined) this.#host.log.warn(what, { file, code: fault.code, reason: fault.message });
    this.#trouble = `${what} (${fault.message})`;
  }

  #wait(reason: string): void {
    if (this.#waiting === undefined) this.#host.log.warn("files wait", { reason });
    this.#waiting = reason;
  }
}
