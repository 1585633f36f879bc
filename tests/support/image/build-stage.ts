import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import type { Stage } from "./dockerfile.ts";

/**
 * Does on this machine what a stage of a Dockerfile would do in its image, below `root`: absolute paths of its commands are
 * taken for paths below it. RangeError with what a command printed when it fails.
 */
export async function runStage(stage: Stage, context: string, root: string): Promise<void> {
  const tools = join(root, ".tools");
  mkdirSync(tools, { recursive: true });
  symlinkSync(process.execPath, join(tools, "bun"));
  let folder = root;
  for (const { name, text } of stage.instructions) {
    if (name === "WORKDIR") {
      folder = join(root, text);
      mkdirSync(folder, { recursive: true });
    } else if (name === "COPY") copy(text.split(/\s+/), context, folder);
    else if (name === "RUN") await run(text.replace(/(\s)\/(?=\w)/g, `$1${root}/`), folder, tools);
    else throw new RangeError(`${name} is not known here`);
  }
}

function copy(words: readonly string[], context: string, folder: string): void {
  const [sources, target] = [words.slice(0, -1), words.at(-1) ?? ""];
  for (const source of sources) {
    const into = target.endsWith("/") ? join(folder, target, basename(source)) : join(folder, target);
    cpSync(join(context, source), into, { recursive: true });
  }
}

async function run(command: string, cwd: string, tools: string): Promise<void> {
  const env = { ...process.env, PATH: `${tools}:${process.env.PATH ?? ""}` };
  const child = Bun.spawn(["sh", "-ec", command], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new RangeError(`${command}\n${out}${err}`);
}
