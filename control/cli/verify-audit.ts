import { chooseSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { silentLog } from "#lib/log";
import { systemClock, writeOut } from "#lib/runtime";
import { type ExportLine, exportLineSchema, exportLines, type Verified, verifyLog } from "../audit/index.ts";
import { storedAuthority } from "../authority/index.ts";
import type { SolarisConfig } from "../config.ts";
import { makeDb } from "../db/index.ts";
import { openStores } from "../stores.ts";

/** Verifies an export or the database here, and tells what it found. False when the log is not whole. */
export async function verifyAudit(
  options: { readonly file?: string; readonly authority?: string },
  sources: { config(): SolarisConfig; readText(path: string): string },
): Promise<boolean> {
  const verified =
    options.file === undefined
      ? await verifyDatabase(sources.config(), options.authority)
      : await verifyFile(sources.readText(options.file), options.authority);
  const { entries, checkpoints, signedThrough, problems } = verified;
  writeOut(`${entries} entries, ${checkpoints} checkpoints that hold, signed through entry ${signedThrough}\n`);
  for (const problem of problems) writeOut(`- ${problem}\n`);
  writeOut(problems.length === 0 ? "The log is whole.\n" : "The log is NOT whole.\n");
  return problems.length === 0;
}

async function verifyFile(text: string, authority: string | undefined): Promise<Verified> {
  if (authority === undefined)
    throw new Fault(
      "bad_request",
      "name the authority that you trust: --authority I… (GET /api/v1/authority shows it)",
    );
  async function* lines(): AsyncGenerator<ExportLine> {
    for (const line of text.split("\n")) if (line.trim() !== "") yield parseLine(line);
  }
  return verifyLog(await chooseSuite(), lines(), { authority, now: systemClock.now() });
}

function parseLine(line: string): ExportLine {
  try {
    return exportLineSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new Fault("malformed", "not an exported audit log", { cause });
  }
}

async function verifyDatabase(config: SolarisConfig, authority: string | undefined): Promise<Verified> {
  const suite = await chooseSuite();
  await using stores = await openStores(config, suite, silentLog);
  const db = makeDb(stores.database);
  const { identifier, chain } = await storedAuthority(db);
  const lines = exportLines({ db, authorityChain: () => chain });
  return await verifyLog(suite, lines, { authority: authority ?? identifier, now: systemClock.now() });
}
