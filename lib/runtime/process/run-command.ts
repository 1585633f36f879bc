import { Fault } from "#lib/fault";

/** What a command said. */
export interface CommandAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program without a shell. Secrets go through `input`, never through arguments, which every user can read.
 * Fault `not_found` when there is no such program, `timeout` after `timeoutMs` (default 10,000).
 */
export async function runCommand(
  command: readonly string[],
  options: { input?: string; timeoutMs?: number; env?: Readonly<Record<string, string>> } = {},
): Promise<CommandAnswer> {
  const [program = ""] = command;
  if (Bun.which(program) === null) throw new Fault("not_found", "no such program", { detail: { program } });
  const child = Bun.spawn([...command], {
    stdin: new TextEncoder().encode(options.input ?? ""),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 10_000,
    killSignal: "SIGKILL",
    ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.signalCode === "SIGKILL") throw new Fault("timeout", "a program took too long", { detail: { program } });
  return { exitCode, stdout, stderr };
}
