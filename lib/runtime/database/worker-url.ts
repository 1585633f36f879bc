/**
 * Where the database thread's entry is: beside this file when run from source; in a compiled program, where every module is in one
 * file, under its path from the repository's root (`compileProgram` sees to that).
 */
export function workerUrl(): string {
  const compiled = !import.meta.url.endsWith("/worker-url.ts");
  const place = compiled ? "./lib/runtime/database/database-worker.js" : "./database-worker.ts";
  return new URL(place, import.meta.url).href;
}
