import { hex } from "#lib/bytes";
import { type CryptoSuite, chooseSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { silentLog } from "#lib/log";
import { atomicWrite, readPrivateFile, systemRandom } from "#lib/runtime";
import type { SolarisConfig } from "../config.ts";
import { keyEncryptionKeyOf, rewrapRootKey } from "../root-key.ts";
import { findSecret, openStores, rootKeyDeps, type Stores } from "../stores.ts";

/**
 * Puts all that is stored under another key, which is read from `newKeyFile` (made, 0600, when missing). Solaris must not run
 * meanwhile. Interrupted, the data opens with either key, and the same command finishes it. Faults: `config`, `database_key`.
 */
export async function rotateKey(config: SolarisConfig, newKeyFile: string): Promise<void> {
  const suite = await chooseSuite();
  const now = await findSecret(config, silentLog);
  const next = (await readPrivateFile(newKeyFile))?.trim() ?? (await makeKeyFile(newKeyFile));
  if (next.length < 32 || next.length > 1_024) throw new Fault("config", "a key has 32 to 1024 characters");
  if (next === now) throw new Fault("config", "the new key is the one in use");
  await rewrapRootKey(rootKeyDeps(config, suite), { now, next }, async () => {
    await using stores = await openWithEither(config, suite, [now, next]);
    await stores.kms.rotateKeyEncryptionKey(await keyEncryptionKeyOf(suite, next));
  });
}

/** The former key opens the KMS until its own rotation is done, which may have been before an interruption. */
async function openWithEither(config: SolarisConfig, suite: CryptoSuite, secrets: readonly string[]): Promise<Stores> {
  for (const secret of secrets) {
    try {
      return await openStores(config, suite, silentLog, secret);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "database_key") throw error; // not under this one: the next
    }
  }
  throw new Fault("database_key", "the keys open with neither the former nor the new key");
}

async function makeKeyFile(file: string): Promise<string> {
  const key = hex(systemRandom(32));
  await atomicWrite(file, `${key}\n`, { mode: 0o600 });
  return key;
}
