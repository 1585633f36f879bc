import { lstatSync, rmSync } from "node:fs";

/** Removes a socket file that a process which was killed left behind; nothing else is ever removed. */
export function removeDeadSocket(path: string): void {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts?.isSocket()) rmSync(path);
}
