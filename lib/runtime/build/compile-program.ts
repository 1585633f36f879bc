import { fileURLToPath } from "node:url";
import { type BuildTarget, libsqlPlugin } from "./libsql-plugin.ts";

/** One binary to make. */
export interface CompileOptions {
  /** The program's `main.ts`. */
  readonly entry: string;
  /** Path of the binary. */
  readonly outfile: string;
  readonly target: BuildTarget;
  /** Absolute path at which libSQL's addon will lie where the program runs; default: it is inside the program. */
  readonly addonFile?: string;
  /** Names replaced in the source by JSON values, such as a version. */
  readonly define?: Readonly<Record<string, string>>;
}

/** Compiles a program with its runtime, libSQL's addon and the database thread into one file. Rejects with Bun's build error. */
export async function compileProgram(options: CompileOptions): Promise<void> {
  const worker = fileURLToPath(new URL("../database/database-worker.ts", import.meta.url));
  const result = await Bun.build({
    entrypoints: [options.entry, worker],
    root: fileURLToPath(new URL("../../..", import.meta.url)), // gives the thread the place that worker-url.ts names
    target: "bun",
    minify: true,
    sourcemap: "none",
    plugins: [libsqlPlugin(options.target, options.addonFile)],
    ...(options.addonFile === undefined ? {} : { external: [options.addonFile] }),
    ...(options.define === undefined ? {} : { define: { ...options.define } }),
    compile: { target: `bun-${options.target}` as Bun.Build.CompileTarget, outfile: options.outfile },
  });
  if (!result.success) throw new AggregateError(result.logs, `could not build ${options.outfile}`);
}
