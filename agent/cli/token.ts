import { fromUtf8 } from "#lib/bytes";
import { asFault, Fault } from "#lib/fault";
import { hiddenPrompt, isTerminal, readFileBytes, readStandardInput } from "#lib/runtime";
import type { AgentConfig } from "../config.ts";

const tokenFileBytesMax = 4 * 1024;

/** Where a token may stand, in this order. */
export interface TokenSources {
  /** On the command line: other users of the machine can read it there. */
  readonly argument?: string | undefined;
  /** `-` = standard input. */
  readonly file?: string | undefined;
}

/** The token that was given without asking anybody: file, `MERCURY_TOKEN_FILE`, `MERCURY_TOKEN`. */
export async function givenToken(config: AgentConfig, sources: TokenSources = {}): Promise<string | undefined> {
  if (sources.argument !== undefined) return sources.argument;
  if (sources.file === "-") return (await readStandardInput(tokenFileBytesMax)).trim();
  const file = sources.file ?? config.tokenFile;
  if (file !== undefined) return await tokenIn(file);
  return config.token;
}

async function tokenIn(file: string): Promise<string> {
  try {
    return fromUtf8(await readFileBytes(file, tokenFileBytesMax)).trim();
  } catch (cause) {
    const { code, entry } = asFault(cause, "malformed");
    const why = code === "not_found" ? "there is no such file" : entry.text;
    throw new Fault(code, `the token can't be read from ${file}: ${why}`, { cause });
  }
}

/** The token, from a person or a pipe when it stands nowhere else. Fault `bad_request` when there is none. */
export async function findToken(config: AgentConfig, sources: TokenSources): Promise<string> {
  const given = await givenToken(config, sources);
  if (given !== undefined && given !== "") return given;
  if (isTerminal()) return await hiddenPrompt("Enrollment token");
  const piped = (await readStandardInput(tokenFileBytesMax)).trim();
  if (piped !== "") return piped;
  throw new Fault("bad_request", "no token: give --token-file FILE, MERCURY_TOKEN, or the token on standard input");
}
