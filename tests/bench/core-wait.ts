import { readFileSync } from "node:fs";

/** How long a process' main thread has waited for a core, ms (Linux; 0 elsewhere): lag that no program can take away. */
export function coreWaitMs(pid: number | undefined): number {
  if (process.platform !== "linux" || pid === undefined) return 0;
  const [, waitedNs] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ");
  return Number(waitedNs) / 1e6;
}
