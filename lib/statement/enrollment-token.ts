import { z } from "zod";
import {
  type Bytes,
  base64url,
  concat,
  decodeCbor,
  encodeCbor,
  equalBytes,
  fromBase64url,
  hex,
  utf8,
} from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { enrollmentTokenLengthMax } from "#lib/limits";
import { hashClaim, idClaim, identifierClaim } from "./claims.ts";

const prefix = "mercury_";
const checksumBytes = 8;

/** Address of a gateway: http(s) or ws(s), no user, query or fragment. Whether `ws://` will do is for the caller. */
function isGatewayAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^(https?|wss?):$/.test(protocol) && `${username}${password}${search}${hash}` === "";
}

const tokenSchema = z.strictObject({
  version: z.literal(1),
  gateway: z.string().max(512).refine(isGatewayAddress),
  authority: identifierClaim,
  newestChange: hashClaim,
  tokenId: idClaim,
  secret: z
    .instanceof(Uint8Array)
    .refine((bytes) => bytes.length === 32)
    .transform((bytes): Bytes => Uint8Array.from(bytes)),
});

/** What one enrollment needs to know (PROTOCOL §4). Whoever holds it can enroll. */
export interface EnrollmentToken {
  /** Address of the gateway: `https://…`, `wss://…`; at most 512 characters. */
  readonly gateway: string;
  /** Identifier of the authority. */
  readonly authority: string;
  /** 64 hex digits: hash of the authority's newest change when the token was made. */
  readonly newestChange: string;
  readonly tokenId: string;
  /** 32 bytes; Solaris keeps only `enrollmentSecretHash` of it. */
  readonly secret: Bytes;
}

/** The token as text: `mercury_` ‖ base64url(deterministic CBOR ‖ first 8 bytes of its SHA-256). */
export async function encodeEnrollmentToken(suite: CryptoSuite, token: EnrollmentToken): Promise<string> {
  const { gateway, authority, newestChange, tokenId, secret } = token;
  const body = encodeCbor(tokenSchema.parse({ version: 1, gateway, authority, newestChange, tokenId, secret }));
  return prefix + base64url(concat(body, await checksum(suite, body)));
}

/**
 * The token of a text; white space around it is ignored. Fault `token_damaged` when it was edited or cut off, `token_invalid`
 * when it is no enrollment token at all, or one of another version. Neither says what was in it.
 */
export async function decodeEnrollmentToken(suite: CryptoSuite, text: string): Promise<EnrollmentToken> {
  const token = text.trim();
  if (!token.startsWith(prefix)) throw new Fault("token_invalid", `an enrollment token begins with ${prefix}`);
  const bytes = token.length > enrollmentTokenLengthMax ? undefined : fromBase64url(token.slice(prefix.length));
  if (bytes === undefined || bytes.length <= checksumBytes) throw new Fault("token_damaged");
  const [body, sum] = [bytes.subarray(0, -checksumBytes), bytes.subarray(-checksumBytes)];
  if (!equalBytes(await checksum(suite, body), sum)) throw new Fault("token_damaged");
  try {
    const { version: _, ...content } = tokenSchema.parse(decodeCbor(body));
    return content;
  } catch {
    throw new Fault("token_invalid", "an enrollment token that this version can't read"); // a cause could show the secret
  }
}

async function checksum(suite: CryptoSuite, body: Uint8Array): Promise<Bytes> {
  return (await suite.sha256(body)).subarray(0, checksumBytes);
}

/** 64 hex digits: what Solaris stores of a token's 32-byte secret. No salt: the secret is random. */
export async function enrollmentSecretHash(suite: CryptoSuite, secret: Uint8Array): Promise<string> {
  return hex(await suite.sha256(concat(utf8("mercury/1 enrollment secret"), secret)));
}

/**
 * The authority that a token names, from the chain that a gateway gave: the same identifier, and the newest change that the
 * token knows is in it. Faults: those of `verifyIdentity`; `other_cloud` when it is another authority, or a chain
 * that is older than the token or a fork.
 */
export async function verifyTokenAuthority(
  suite: CryptoSuite,
  token: Pick<EnrollmentToken, "authority" | "newestChange">,
  chain: Uint8Array,
  now: number,
): Promise<VerifiedIdentity> {
  const authority = await verifyIdentity(suite, chain, { now });
  if (authority.identifier !== token.authority) throw new Fault("other_cloud");
  if (!authority.changes.some(({ hash }) => hash === token.newestChange))
    throw new Fault("other_cloud", "the gateway shows an authority that lacks the change this token names");
  return authority;
}
