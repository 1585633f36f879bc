import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "./median.ts";

/** How long this machine's disk takes to make 4 KiB durable, ms: median of 100. Every figure depends on it. */
export function fsyncTimeMs(): number {
  const directory = mkdtempSync(join(tmpdir(), "fsync-"));
  const file = openSync(join(directory, "file"), "w");
  try {
    const page = new Uint8Array(4_096);
    return median(
      Array.from({ length: 100 }, () => {
        const began = performance.now();
        writeSync(file, page);
        fsyncSync(file);
        return performance.now() - began;
      }),
    );
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
}
