import { z } from "zod";
import { type Bytes, concat, decodeCbor, encodeCbor, equalBytes, hex, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";

/** One link of an identity chain, read (PROTOCOL §1). */
export interface IdentityChange {
  /** 64 lower-case hex digits: SHA-256 of the change's bytes. What `kid` and `cnf` name. */
  readonly hash: string;
  /** Hash of the change before; null in the first. */
  readonly previous: string | null;
  /** 32 bytes: signs (RFC 8032). */
  readonly ed25519: Bytes;
  /** 32 bytes: Noise static key, authorization header, sealing (RFC 7748). */
  readonly x25519: Bytes;
  /** ms since 1970. */
  readonly createdMs: number;
  /** ms since 1970; out of date from this moment on. */
  readonly expiresMs: number;
}

/** What a change says, before it has bytes and so a hash. */
export interface ChangeContent {
  readonly previous: Uint8Array | null;
  readonly ed25519: Uint8Array;
  readonly x25519: Uint8Array;
  readonly createdMs: number;
  readonly expiresMs: number;
}

const key = z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32);
const time = z.int().min(0);
const changeSchema = z.strictObject({
  type: z.literal("mercury-identity"),
  version: z.literal(1),
  previous: z.nullable(key),
  ed25519: key,
  x25519: key,
  created: time,
  expires: time,
});

/** The bytes of a change: deterministic CBOR (RFC 8949 §4.2.1) of a map with seven names. Bugs make a TypeError. */
export function encodeChange(content: ChangeContent): Bytes {
  const change = {
    type: "mercury-identity",
    version: 1,
    previous: content.previous,
    ed25519: content.ed25519,
    x25519: content.x25519,
    created: content.createdMs,
    expires: content.expiresMs,
  };
  if (!changeSchema.safeParse(change).success) throw new TypeError("not the content of an identity change");
  return encodeCbor(change);
}

/** The change that these bytes are. Fault `identity_invalid` unless they are exactly what `encodeChange` gives. */
export async function decodeChange(suite: CryptoSuite, bytes: Uint8Array): Promise<IdentityChange> {
  const { previous, ed25519, x25519, created, expires } = readChange(bytes);
  if (expires <= created) throw new Fault("identity_invalid", "a change that expires before it begins");
  return {
    hash: hex(await suite.sha256(bytes)),
    previous: previous === null ? null : hex(previous),
    ed25519: Uint8Array.from(ed25519),
    x25519: Uint8Array.from(x25519),
    createdMs: created,
    expiresMs: expires,
  };
}

function readChange(bytes: Uint8Array): z.infer<typeof changeSchema> {
  try {
    const change = changeSchema.parse(decodeCbor(bytes));
    if (equalBytes(encodeCbor(change), bytes)) return change;
  } catch (cause) {
    throw new Fault("identity_invalid", "not an identity change", { cause });
  }
  throw new Fault("identity_invalid", "an identity change that is not in its one form");
}

const prefix = utf8("mercury/1 identity change");

/** What the signatures of a change are over: a fixed prefix, then its exact bytes. */
export function changeSigningBytes(change: Uint8Array): Bytes {
  return concat(prefix, change);
}
