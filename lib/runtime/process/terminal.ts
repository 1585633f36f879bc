import { concat, fromUtf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";

/** Whether a person sits at both ends of this program. */
export function isTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Asks for a secret without showing it. Fault `bad_request` when the person turns away or nobody is there. */
export async function hiddenPrompt(question: string): Promise<string> {
  if (!isTerminal()) throw new Fault("bad_request", "there is no terminal to ask on");
  const { isCancel, password } = await import("@clack/prompts"); // only who asks a person waits for it
  const answer = await password({ message: question });
  if (isCancel(answer)) throw new Fault("bad_request", "no answer was given");
  return answer;
}

/** All of standard input as text. Fault `too_large` past `bytesMax` (default 64 KiB), `malformed` when it is not UTF-8. */
export async function readStandardInput(bytesMax = 64 * 1024): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of Bun.stdin.stream()) {
    size += part.length;
    if (size > bytesMax) throw new Fault("too_large", "standard input is longer than its limit");
    parts.push(part);
  }
  try {
    return fromUtf8(concat(...parts));
  } catch (cause) {
    throw new Fault("malformed", "standard input is not UTF-8", { cause });
  }
}

/** Writes to standard output or error, synchronously as far as the system takes it. */
export function writeOut(text: string, to: "stdout" | "stderr" = "stdout"): void {
  process[to].write(text);
}
