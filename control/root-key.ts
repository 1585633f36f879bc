/** The root of all keys at rest: random, wrapped under the key that is kept outside the data directory, so that one can be replaced. */

import { z } from "zod";
import { type Bytes, base64url, concat, decodeJson, encodeJson, fromBase64url, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { atomicWrite, fileFacts, readFileBytes } from "#lib/runtime";

const fileSchema = z.strictObject({ version: z.literal(1), wraps: z.array(z.string().max(200)).min(1).max(2) });
const additionalData = utf8("mercury/1 solaris root key");
const nonceBytes = 12;
const fileBytesMax = 4_096;

export interface RootKeyDeps {
  readonly suite: CryptoSuite;
  readonly random: Random;
  /** Path of the file with the wrapped root key. */
  readonly file: string;
}

/** A key for one purpose, 32 bytes. */
export type KeyFor = (purpose: string) => Promise<Bytes>;

/** Whether this data directory has begun. */
export const hasRootKey = async (file: string) => (await fileFacts(file)) !== undefined;

/** The root key, made when there is none. Fault `database_key` when it does not open with this secret. */
export async function openRootKey(
  deps: RootKeyDeps,
  secret: string,
): Promise<{ keyFor: KeyFor; keyEncryptionKey: Bytes }> {
  const root = (await hasRootKey(deps.file)) ? await unwrap(deps, secret) : await begin(deps, secret);
  const none = new Uint8Array();
  return {
    keyFor: (purpose) => deps.suite.hkdfSha256(root, none, utf8(`mercury/1 solaris file ${purpose}`), 32),
    keyEncryptionKey: await keyEncryptionKeyOf(deps.suite, secret),
  };
}

/** What the keys in KMS are wrapped under. */
export function keyEncryptionKeyOf(suite: CryptoSuite, secret: string): Promise<Bytes> {
  return suite.hkdfSha256(utf8(secret), new Uint8Array(), utf8("mercury/1 solaris kms"), 32);
}

/**
 * Puts the root key under `next`. `between` runs while it opens with either secret (there the KMS is put under it too), so that
 * a crash at any moment leaves a directory that opens; again finishes it.
 */
export async function rewrapRootKey(
  deps: RootKeyDeps,
  secrets: { readonly now: string; readonly next: string },
  between: () => Promise<void>,
): Promise<void> {
  const root = await unwrap(deps, secrets.now).catch(() => unwrap(deps, secrets.next));
  const next = await wrap(deps, secrets.next, root);
  await write(deps, [await wrap(deps, secrets.now, root), next]);
  await between();
  await write(deps, [next]);
}

async function begin(deps: RootKeyDeps, secret: string): Promise<Bytes> {
  const root = deps.random(32);
  await write(deps, [await wrap(deps, secret, root)]);
  return root;
}

async function wrap(deps: RootKeyDeps, secret: string, root: Bytes): Promise<string> {
  const nonce = deps.random(nonceBytes);
  return base64url(concat(nonce, await (await wrapKey(deps, secret)).seal(nonce, additionalData, root)));
}

async function unwrap(deps: RootKeyDeps, secret: string): Promise<Bytes> {
  const aead = await wrapKey(deps, secret);
  for (const text of await read(deps)) {
    const wrapped = fromBase64url(text) ?? new Uint8Array();
    try {
      return await aead.open(wrapped.slice(0, nonceBytes), additionalData, wrapped.slice(nonceBytes));
    } catch (error) {
      if (!(error instanceof Fault) && !(error instanceof RangeError)) throw error; // not under this secret: the next one
    }
  }
  throw new Fault("database_key", "the data directory does not open with this key", { detail: { file: deps.file } });
}

async function wrapKey({ suite }: RootKeyDeps, secret: string) {
  return suite.aeadKey(await suite.hkdfSha256(utf8(secret), new Uint8Array(), utf8("mercury/1 solaris root wrap"), 32));
}

async function read({ file }: RootKeyDeps): Promise<readonly string[]> {
  try {
    return fileSchema.parse(decodeJson(await readFileBytes(file, fileBytesMax))).wraps;
  } catch (cause) {
    throw new Fault("config", "the file with the wrapped root key can't be read", { detail: { file }, cause });
  }
}

function write({ file }: RootKeyDeps, wraps: readonly string[]): Promise<void> {
  return atomicWrite(file, encodeJson({ version: 1, wraps: [...wraps] }), { mode: 0o600 });
}
