import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hex } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { type Database, openDatabase, systemRandom } from "#lib/runtime";
import { openRootKey } from "../../control/root-key.ts";
import type { MercurySite } from "./mercury-site.ts";
import type { Stack } from "./stack.ts";

/** Every row of a database, as its own key shows it: what a search of the encrypted file could never find. */
export async function dump(database: Database): Promise<string> {
  const tables = await database.read<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
  const texts: string[] = [];
  for (const { name } of tables)
    for (const row of await database.values(`SELECT * FROM "${name}"`, []))
      texts.push(
        row
          .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value)))
          .join("\t"),
      );
  return texts.join("\n");
}

/** Solaris' database, opened beside it with its key. */
export async function solarisDatabase({ directory }: Stack): Promise<Database> {
  const deps = { suite: webSuite, random: systemRandom, file: join(directory, "solaris", "root-key.json") };
  const { keyFor } = await openRootKey(deps, readFileSync(join(directory, "solaris.key"), "utf8").trim());
  const path = join(directory, "solaris", "solaris.db");
  return openDatabase({ path, encryptionKey: hex(await keyFor("solaris.db")) });
}

/** A site's store, opened beside its Mercury with its key. */
export const siteDatabase = ({ data, keyFile }: MercurySite): Promise<Database> =>
  openDatabase({ path: join(data, "mercury.db"), encryptionKey: readFileSync(keyFile, "utf8").trim() });
