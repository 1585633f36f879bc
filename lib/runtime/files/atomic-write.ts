import { closeSync, fsyncSync, openSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fileFault } from "./file-fault.ts";

/**
 * Writes `content` to `path` so that at every moment, power cuts included, either the old or the whole new file is there: a
 * temporary file beside it, fsync, rename, fsync of the folder. Folders are made (0700). Mode default 0600.
 * Faults `disk_full`, `not_allowed_here` (permission), `config`.
 */
export async function atomicWrite(
  path: string,
  content: Uint8Array | string,
  options: { mode?: number } = {},
): Promise<void> {
  const folder = dirname(path);
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(temporary, "wx", options.mode ?? 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is what is told
    throw fileFault(error, path);
  }
}

/** Makes names in `folder` durable: renames and removals are its own data. Windows has no such call and needs none. */
export function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
