import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";

/** Path arithmetic of this platform; no disk is touched. */
export const paths = { basename, dirname, isAbsolute, join, relative, resolve } as const;

/** Whether `path` is `folder` or lies in it, both absolute and without symbolic links (`realPath`). */
export function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}
