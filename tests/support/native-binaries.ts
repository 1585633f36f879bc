import { cpSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** The native binary of a program, built by its own build script; path of a copy in `folder`. RangeError with what the build printed. */
export async function nativeBinary(program: "agent" | "gateway" | "control", folder: string): Promise<string> {
  const child = Bun.spawn([process.execPath, `${program}/build.ts`, "native"], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const built = /^(.+?) {2}\d+ MB$/m.exec(out)?.[1];
  if ((await child.exited) !== 0 || built === undefined) throw new RangeError(`${program}/build.ts: ${out}${err}`);
  const path = join(folder, { agent: "mercury", gateway: "nexus", control: "solaris" }[program]);
  cpSync(built, path);
  return path;
}
