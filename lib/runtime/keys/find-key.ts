import { hex } from "#lib/bytes";
import type { Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import { atomicWrite } from "../files/atomic-write.ts";
import { readPrivateFile } from "../files/private-file.ts";
import { type KeyStore, type KeyStoreEntry, systemKeyStore } from "./key-store.ts";

/** Where a program's key may come from, in this order. */
export interface KeySources {
  /** Name of a systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`). */
  readonly credential: string;
  /** Name of an environment variable. */
  readonly variable: string;
  readonly keyStore: KeyStoreEntry;
  /** Path of a 0600 file outside the data directory. */
  readonly file: string;
}

/** A key: at least 32 characters of text. `created`: it was made now and stored at `source`. */
export interface FoundKey {
  readonly key: string;
  readonly source: "systemd" | "environment" | "key store" | "file";
  readonly created: boolean;
}

const keyBytes = 32;
const lengthMin = 32;
const lengthMax = 1_024;

/** What `findKey` looks at. */
export interface KeySurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly random: Random;
  /** Default: the operating system's, if any. */
  readonly keyStore?: KeyStore | undefined;
}

/**
 * The key from the first source that has one. With `create` (no store exists yet that an absent key could belong to) a new one
 * (32 random bytes as hex) is made and put into the OS key store or, without one, the file; the caller warns about a file.
 * Undefined when no source has one. Fault `config` for a key that is too short or a file that others may read.
 */
export async function findKey(
  sources: KeySources,
  surroundings: KeySurroundings,
  options: { readonly create: boolean },
): Promise<FoundKey | undefined> {
  const { environment } = surroundings;
  const store = "keyStore" in surroundings ? surroundings.keyStore : systemKeyStore();
  const folder = environment.CREDENTIALS_DIRECTORY;
  const lookups: [FoundKey["source"], () => Promise<string | undefined>][] = [
    ["systemd", async () => (folder === undefined ? undefined : readPrivateFile(`${folder}/${sources.credential}`))],
    ["environment", async () => environment[sources.variable]],
    ["key store", async () => store?.get(sources.keyStore)],
    ["file", () => readPrivateFile(sources.file)],
  ];
  for (const [source, lookup] of lookups) {
    const key = (await lookup())?.trim();
    if (key !== undefined && key !== "") return { key: checkedKey(key, source), source, created: false };
  }
  return options.create ? createKey(sources, store, surroundings.random) : undefined;
}

async function createKey(sources: KeySources, store: KeyStore | undefined, random: Random): Promise<FoundKey> {
  const key = hex(random(keyBytes));
  try {
    if (store !== undefined) {
      await store.set(sources.keyStore, key);
      return { key, source: "key store", created: true };
    }
  } catch (error) {
    // A store that can't be written (locked, no session) is as good as none; the file is the next in order, with its warning.
    if (!(error instanceof Fault)) throw error;
  }
  await atomicWrite(sources.file, `${key}\n`, { mode: 0o600 });
  return { key, source: "file", created: true };
}

function checkedKey(key: string, source: string): string {
  if (key.length < lengthMin || key.length > lengthMax)
    throw new Fault("config", `a key has ${lengthMin} to ${lengthMax} characters`, { detail: { source } });
  return key;
}
