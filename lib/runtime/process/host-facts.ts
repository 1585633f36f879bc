import { arch, hostname, release } from "node:os";

/** What this program runs on, as the console shows it. */
export interface HostFacts {
  /** Like `linux-x64`, `darwin-arm64`, `win32-x64`. */
  readonly platform: string;
  readonly hostname: string;
  /** Version of the operating system's kernel. */
  readonly release: string;
  readonly pid: number;
}

/** Facts of this machine and process. */
export function hostFacts(): HostFacts {
  return { platform: `${process.platform}-${arch()}`, hostname: hostname(), release: release(), pid: process.pid };
}

/** The environment of this process; only `config.ts` of a program reads it. */
export function environment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** Arguments behind the program's own name. */
export function commandArguments(): readonly string[] {
  return process.argv.slice(2);
}

/** Resident memory of this process, bytes. */
export function residentBytes(): number {
  return process.memoryUsage.rss();
}
