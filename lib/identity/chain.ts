import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor, equalBytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { identityChainBytesMax, identityChangesMax } from "#lib/limits";

/** One signed change as it travels: its exact bytes, the signature by its own key, then the one by the key before. */
export interface ChainLink {
  readonly change: Uint8Array;
  /** 64 bytes each: [own] in the first link, [own, before] in every other. */
  readonly signatures: readonly Uint8Array[];
}

const bytes = z.instanceof(Uint8Array);
const signature = bytes.refine((value) => value.length === 64);
const chainSchema = z
  .array(z.strictObject({ change: bytes, signatures: z.array(signature).min(1).max(2) }))
  .min(1)
  .max(identityChangesMax);

/** A chain as deterministic CBOR: a list of {change, signatures}. */
export function encodeChain(links: readonly ChainLink[]): Bytes {
  return encodeCbor(links.map(({ change, signatures }) => ({ change, signatures })));
}

/**
 * The links of an encoded chain: 1 … 64 of them in at most 64 KiB. Nothing in them is checked yet. Fault `too_large`,
 * or `identity_invalid` unless the bytes are exactly what `encodeChain` gives.
 */
export function decodeChain(chain: Uint8Array): readonly ChainLink[] {
  if (chain.length > identityChainBytesMax) throw new Fault("too_large", "an identity chain above its limit");
  let links: readonly ChainLink[];
  try {
    links = chainSchema.parse(decodeCbor(chain));
  } catch (cause) {
    throw new Fault("identity_invalid", "not an identity chain", { cause });
  }
  if (!equalBytes(encodeChain(links), chain))
    throw new Fault("identity_invalid", "an identity chain that is not in its one form");
  return links;
}
