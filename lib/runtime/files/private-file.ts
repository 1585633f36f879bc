import { open } from "node:fs/promises";
import { Fault } from "#lib/fault";
import { fileFault } from "./file-fault.ts";

const bytesMax = 64 * 1024;

/**
 * The text of a file that holds a secret, or undefined when there is none. Fault `config` when anyone but its owner may read
 * it (not checked on Windows, where rights are lists) or when it is longer than 64 KiB.
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, "r");
    try {
      const { mode, size } = await file.stat();
      if (process.platform !== "win32" && (mode & 0o077) !== 0)
        throw new Fault("config", "a secret file must be readable by its owner only (chmod 600)", { detail: { path } });
      if (size > bytesMax) throw new Fault("config", "a secret file is longer than 64 KiB", { detail: { path } });
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    const fault = fileFault(error, path);
    if (fault.code === "not_found") return undefined;
    throw fault;
  }
}
