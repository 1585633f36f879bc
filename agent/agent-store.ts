import { fromUtf8, hex, utf8 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import {
  builtInAuthorities,
  type ForgottenKey,
  type FoundKey,
  fileFacts,
  findKey,
  forgetKey,
  type KeySources,
  paths,
  readFileBytes,
  removeFile,
} from "#lib/runtime";
import type { AgentConfig } from "./config.ts";
import { makeNetwork, type Network } from "./network/network.ts";
import { openStore, type Store } from "./store/open-store.ts";

const certificatesBytesMax = 1024 * 1024;

export interface StoreSurroundings {
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
}

/** Where the key of a data directory's store may lie. Its name in the key store is this directory's alone. */
async function keySources({ dataDirectory, keyFile }: AgentConfig, suite: CryptoSuite): Promise<KeySources> {
  const readable = dataDirectory.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(-31);
  const account = `${readable}.${hex(await suite.sha256(utf8(dataDirectory))).slice(0, 32)}`;
  return {
    credential: "mercury-store-key",
    variable: "MERCURY_STORE_KEY",
    keyStore: { service: "mercury", account },
    file: keyFile,
  };
}

/** Path of the store in a data directory. */
export const storePath = (dataDirectory: string) => paths.join(dataDirectory, "mercury.db");

/**
 * Opens the store of a data directory, making it and its key when there is none and `create` says so. Undefined when
 * there is none. Faults: `database_key` when no key is found or the found one does not fit, `config`.
 */
export async function openAgentStore(
  config: AgentConfig,
  { suite, random, clock }: StoreSurroundings,
  options: { readonly create: boolean },
): Promise<{ readonly store: Store; readonly key: FoundKey } | undefined> {
  const path = storePath(config.dataDirectory);
  const exists = (await fileFacts(path)) !== undefined;
  if (!exists && !options.create) return undefined;
  const sources = await keySources(config, suite);
  const key = await findKey(sources, { environment: config.environment, random }, { create: !exists });
  if (key === undefined)
    throw new Fault(
      "database_key",
      `the key of ${path} is not found: looked in systemd's credentials, ` +
        `MERCURY_STORE_KEY, the system's key store and ${config.keyFile}`,
    );
  const store = await openStore({
    path,
    encryptionKey: key.key,
    suite,
    random,
    clock,
    ...(config.commitDelayMs > 0 ? { commitDelayMs: config.commitDelayMs } : {}),
  });
  return { store, key };
}

/** What `forgetAgentStore` found and removed. */
export interface ForgottenStore extends ForgottenKey {
  readonly store: "none" | "removed";
}

/** Removes the store of a data directory, with all that waits in it, and the key that was made for it. Faults: those of files. */
export async function forgetAgentStore(config: AgentConfig, suite: CryptoSuite): Promise<ForgottenStore> {
  const path = storePath(config.dataDirectory);
  const store = (await fileFacts(path)) === undefined ? "none" : "removed";
  for (const file of [path, `${path}-wal`, `${path}-shm`]) await removeFile(file);
  return { store, ...(await forgetKey(await keySources(config, suite))) };
}

/** The network as the site's settings say. Fault `config` when the file of authorities can't be read. */
export async function openNetwork(config: AgentConfig): Promise<Network> {
  if (config.caFile === undefined) return makeNetwork({ proxies: config.proxies, authorities: [] });
  const own = fromUtf8(await readFileBytes(config.caFile, certificatesBytesMax));
  return makeNetwork({ proxies: config.proxies, authorities: [own, ...builtInAuthorities()] }); // a list replaces the built-in one
}
