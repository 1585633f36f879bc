import type { LoadResult, LoadSettings } from "./http-load.ts";

/** Runs the load in its own process; RangeError when it or a request of it fails. Settings go by standard input: they hold a key. */
export async function runLoad(settings: LoadSettings): Promise<LoadResult> {
  const child = Bun.spawn([process.execPath, new URL("./http-load.ts", import.meta.url).pathname], {
    stdin: new Blob([JSON.stringify(settings)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new RangeError("the load ended with an error");
  const result = JSON.parse(text) as LoadResult; // our own process' line
  if (result.failed > 0) throw new RangeError(`${result.failed} requests of the load failed`);
  return result;
}
