import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Found, searchArguments, searchFiles, searchText, type Wanted } from "../support/secret-search.ts";
import type { Stack } from "../support/stack.ts";

/** What the search found of a marker that it planted itself, and of what must be nowhere. */
export interface SecretFindings {
  /** Whether the planted marker was found in a file and in the arguments of a process: else the search proves nothing. */
  readonly controlFound: boolean;
  readonly found: readonly Found[];
  readonly sought: readonly string[];
}

/** Plants a marker, then looks for it and for every secret in all data, all logs and all processes' arguments. */
export async function searchSecrets(stack: Stack, wanted: readonly Wanted[]): Promise<SecretFindings> {
  const control = { name: "control marker", bytes: crypto.getRandomValues(new Uint8Array(24)) };
  const text = Buffer.from(control.bytes).toString("hex");
  await writeFile(join(stack.directory, "solaris", "control-marker"), control.bytes);
  const carrier = Bun.spawn(["sh", "-c", "read line", text], { stdin: "pipe" });
  try {
    const all = [control, ...wanted];
    const found = [
      ...(await searchFiles(stack.dataDirectories, all)),
      ...stack.logFiles.flatMap((path) => searchText(path, readFileSync(path, "utf8"), all)),
      ...searchArguments([carrier.pid, ...stack.pids], all),
    ];
    const controls = found.filter(({ name }) => name === control.name);
    return {
      controlFound: controls.length >= 2,
      found: found.filter(({ name }) => name !== control.name),
      sought: wanted.map(({ name }) => name),
    };
  } finally {
    carrier.kill();
    await carrier.exited;
  }
}

/** A secret text as the search wants it. */
export function secretText(name: string, text: string): Wanted {
  return { name, bytes: Buffer.from(text) };
}

/** A key file's content: hex text stands for its bytes, so both are sought. */
export function secretFile(name: string, path: string): Wanted[] {
  const text = readFileSync(path, "utf8").trim();
  const asText = secretText(name, text);
  return /^[0-9a-f]{64}$/.test(text)
    ? [asText, { name: `${name} (bytes)`, bytes: Buffer.from(text, "hex") }]
    : [asText];
}
