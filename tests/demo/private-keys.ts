import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeSecrets } from "#lib/identity";
import { openDatabase } from "#lib/runtime";
import type { MercurySite } from "../support/mercury-site.ts";
import type { Wanted } from "../support/secret-search.ts";

/** The private keys of the agent's identity, read out of its store with the store's own key: what the search looks for. */
export async function ownPrivateKeys(site: MercurySite): Promise<Wanted[]> {
  const encryptionKey = readFileSync(site.keyFile, "utf8").trim();
  await using database = await openDatabase({ path: join(site.data, "mercury.db"), encryptionKey });
  const [row] = await database.read<{ secrets: Uint8Array }>("SELECT secrets FROM identity");
  if (row === undefined) throw new TypeError("the agent has no identity");
  const { ed25519, x25519 } = decodeSecrets(row.secrets);
  return [
    { name: "Mercury's Ed25519 private key", bytes: ed25519 },
    { name: "Mercury's X25519 private key", bytes: x25519 },
  ];
}
