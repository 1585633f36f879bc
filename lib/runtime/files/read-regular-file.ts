import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { Fault } from "#lib/fault";
import { fileFault } from "./file-fault.ts";
import type { FileFacts } from "./files.ts";

/**
 * The whole of a regular file with its facts; a symbolic link at its place is not followed, a pipe not waited for. Faults:
 * `not_found`, `not_allowed_here` (no regular file, or no right to read it), `too_large` past `bytesMax`, `conflict` when it changed
 * meanwhile.
 */
export async function readRegularFile(
  path: string,
  bytesMax: number,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly facts: FileFacts }> {
  try {
    // Windows knows neither flag, and makes links only for administrators.
    const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    try {
      const before = await file.stat();
      if (!before.isFile()) throw new Fault("not_allowed_here", "not a regular file", { detail: { path } });
      if (before.size > bytesMax)
        throw new Fault("too_large", "a file is larger than its limit", { detail: { path, bytesMax } });
      const bytes = new Uint8Array(before.size);
      let filled = 0;
      while (filled < before.size) {
        const { bytesRead } = await file.read(bytes, filled, before.size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      const after = await file.stat();
      if (filled < before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs)
        throw new Fault("conflict", "the file changed while it was read", { detail: { path } });
      const { size, mtimeMs, ino } = before;
      return { bytes, facts: { name: path, kind: "file", sizeBytes: size, modifiedMs: mtimeMs, inode: ino } };
    } finally {
      await file.close();
    }
  } catch (error) {
    const fault = fileFault(error, path);
    if (fault.detail.errno === "ELOOP")
      throw new Fault("not_allowed_here", "not a regular file", { detail: { path }, cause: fault });
    throw fault;
  }
}
