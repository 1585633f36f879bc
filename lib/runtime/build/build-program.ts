import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "#lib/fault";
import { compileProgram } from "./compile-program.ts";
import type { BuildTarget } from "./libsql-plugin.ts";

/** One program and what it is built for. */
export interface ProgramBuild {
  /** Binaries are `<folder>/<name>-<target>`, with `.exe` for Windows. */
  readonly name: string;
  /** The program's `main.ts`. */
  readonly entry: string;
  readonly folder: string;
  readonly targets: readonly BuildTarget[];
  /**
   * Words of the command line: some of `targets`, or `native`; none = all. `--libsql=<absolute path>` builds programs that load libSQL
   * from there.
   */
  readonly words: readonly string[];
}

/** Builds the binaries and says what came of it, a line each. Fault `bad_request` for a target that there is not. */
export async function buildProgram({ name, entry, folder, targets, words }: ProgramBuild): Promise<void> {
  const option = "--libsql=";
  const addonFile = words.find((word) => word.startsWith(option))?.slice(option.length);
  const named = words.filter((word) => !word.startsWith(option));
  const wanted = named.map((word) => {
    const target = targets.find((one) => one === (word === "native" ? nativeTarget() : word));
    if (target === undefined) throw new Fault("bad_request", `${word} is none of native, ${targets.join(", ")}`);
    return target;
  });
  mkdirSync(folder, { recursive: true });
  for (const target of wanted.length > 0 ? wanted : targets) {
    const outfile = join(folder, `${name}-${target}${target.startsWith("windows") ? ".exe" : ""}`);
    await compileProgram({ entry, target, outfile, ...(addonFile === undefined ? {} : { addonFile }) });
    process.stdout.write(`${outfile}  ${Math.round(statSync(outfile).size / 1_048_576)} MB\n`);
  }
}

/** What runs here. */
function nativeTarget(): string {
  return `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
}
