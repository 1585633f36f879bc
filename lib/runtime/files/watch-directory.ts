import { watch } from "node:fs";
import { fileFault } from "./file-fault.ts";

/** Ends a watch; calling it again does nothing. */
export type Unwatch = () => void;

/**
 * Calls `onChange` when something in `path` may have changed. A hint only: network shares tell nothing, so list the
 * directory from time to time too. `onEnd` once when the watch broke (directory gone). Faults of `fileFault`.
 */
export function watchDirectory(path: string, onChange: () => void, onEnd: () => void): Unwatch {
  try {
    const watcher = watch(path, { persistent: false }, onChange);
    watcher.on("error", () => {
      watcher.close();
      onEnd();
    });
    return () => watcher.close();
  } catch (error) {
    throw fileFault(error, path);
  }
}
