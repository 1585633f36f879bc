/** Chains written by hand from PROTOCOL §1, so that the tests do not lean on the code they test. */
import { type Bytes, type CborValue, concat, encodeCbor, utf8 } from "#lib/bytes";
import { type SigningKey, webSuite } from "#lib/crypto";
import { systemRandom } from "#lib/runtime";

export const day = 86_400_000;
export const begin = 1_700_000_000_000;

/** The keys of one change. */
export interface ForgedKeys {
  readonly signing: SigningKey;
  readonly x25519: Bytes;
}

export async function newKeys(): Promise<ForgedKeys> {
  const signing = await webSuite.signingKey(systemRandom(32));
  const { publicKey } = await webSuite.agreementKey(systemRandom(32));
  return { signing, x25519: publicKey };
}

export type Content = { readonly [name: string]: CborValue };
export type ForgedLink = { readonly change: Uint8Array; readonly signatures: readonly Uint8Array[] };

/** What a change with these keys says; `over` replaces or adds names. */
export function content(keys: ForgedKeys, previous: Uint8Array | null, created: number, over: Content = {}): Content {
  return {
    type: "mercury-identity",
    version: 1,
    previous,
    ed25519: keys.signing.publicKey,
    x25519: keys.x25519,
    created,
    expires: created + 365 * day,
    ...over,
  };
}

export async function signed(change: Uint8Array, ...signers: readonly ForgedKeys[]): Promise<ForgedLink> {
  const message = concat(utf8("mercury/1 identity change"), change);
  return { change, signatures: await Promise.all(signers.map(({ signing }) => signing.sign(message))) };
}

export function chainOf(...links: readonly ForgedLink[]): Bytes {
  return encodeCbor(links.map(({ change, signatures }) => ({ change, signatures })));
}

/** A chain of `count` good changes, one a day; `keys[i]` are those of change i. */
export async function goodChain(count: number): Promise<{ links: ForgedLink[]; keys: ForgedKeys[] }> {
  const links: ForgedLink[] = [];
  const keys: ForgedKeys[] = [];
  for (let index = 0; index < count; index++) {
    const own = await newKeys();
    const before = keys.at(-1);
    const last = links.at(-1);
    const previous = last === undefined ? null : await webSuite.sha256(last.change);
    const change = encodeCbor(content(own, previous, begin + index * day));
    links.push(before === undefined ? await signed(change, own) : await signed(change, own, before));
    keys.push(own);
  }
  return { links, keys };
}
