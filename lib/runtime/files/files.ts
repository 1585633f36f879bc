import { copyFile, link, lstat, mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fault } from "#lib/fault";
import { syncFolder } from "./atomic-write.ts";
import { fileFault } from "./file-fault.ts";

/** What a directory or a path holds. `other`: symbolic links, devices, sockets. */
export interface FileFacts {
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Tells two files of one name apart, where the file system numbers them. */
  readonly inode: number;
}

/** Facts of `path`, symbolic links not followed; undefined when nothing is there. Faults of `fileFault`. */
export async function fileFacts(path: string): Promise<FileFacts | undefined> {
  try {
    const facts = await lstat(path);
    const kind = facts.isFile() ? "file" : facts.isDirectory() ? "directory" : "other";
    return { name: path, kind, sizeBytes: facts.size, modifiedMs: facts.mtimeMs, inode: facts.ino };
  } catch (error) {
    const fault = fileFault(error, path);
    if (fault.code === "not_found") return undefined;
    throw fault;
  }
}

/** What is in a directory, by name in code unit order; at most `entriesMax` (default 10,000). Fault `not_found`. */
export async function listDirectory(path: string, options: { entriesMax?: number } = {}): Promise<FileFacts[]> {
  return onFile(path, async () => {
    const names = (await readdir(path)).sort().slice(0, options.entriesMax ?? 10_000);
    const facts = await Promise.all(names.map(async (name) => ({ name, facts: await fileFacts(join(path, name)) })));
    return facts.flatMap(({ name, facts: found }) => (found === undefined ? [] : [{ ...found, name }]));
  });
}

/** The whole file. Faults `not_found`, `too_large` past `bytesMax`. */
export async function readFileBytes(path: string, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  return onFile(path, async () => {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      if (size > bytesMax)
        throw new Fault("too_large", "a file is larger than its limit", { detail: { path, bytesMax } });
      const bytes = new Uint8Array(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.slice(0, filled);
    } finally {
      await file.close();
    }
  });
}

/** Renames durably; across file systems it copies first. An existing `to` is replaced. */
export async function moveFile(from: string, to: string): Promise<void> {
  await onFile(from, async () => {
    await mkdir(dirname(to), { recursive: true });
    try {
      await rename(from, to);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EXDEV")) throw error;
      const near = `${to}.${crypto.randomUUID()}.tmp`;
      await copyFile(from, near);
      const copy = await open(near, "r");
      await copy.sync().finally(() => copy.close());
      await rename(near, to);
      await rm(from);
    }
    syncFolder(dirname(to));
    if (dirname(from) !== dirname(to)) syncFolder(dirname(from));
  });
}

/** Gives the file a second name unless `to` exists (Fault `conflict`): "create only if absent" for whole files. */
export async function linkFile(from: string, to: string): Promise<void> {
  await onFile(to, async () => {
    await link(from, to);
    syncFolder(dirname(to));
  });
}

/** Removes a file durably; nothing happens when it is not there. */
export async function removeFile(path: string): Promise<void> {
  await onFile(path, async () => {
    await rm(path, { force: true });
    if ((await fileFacts(dirname(path))) !== undefined) syncFolder(dirname(path));
  });
}

/** Removes a directory with all in it; nothing happens when it is not there. */
export async function removeDirectory(path: string): Promise<void> {
  await onFile(path, () => rm(path, { force: true, recursive: true }));
}

/** Makes a directory and those above it. Mode default 0700. */
export async function makeDirectory(path: string, options: { mode?: number } = {}): Promise<void> {
  await onFile(path, () => mkdir(path, { recursive: true, mode: options.mode ?? 0o700 }));
}

/** The path without symbolic links, as the site's own list must compare it. Fault `not_found`. */
export function realPath(path: string): Promise<string> {
  return onFile(path, () => realpath(path));
}

async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileFault(error, path);
  }
}
