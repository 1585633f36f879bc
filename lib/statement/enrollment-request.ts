import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { type NodeKeys, recipientOf, seal, type Unseal, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { enrollmentBodyBytesMax, identityChainBytesMax } from "#lib/limits";
import { idClaim } from "./claims.ts";
import { type EnrollmentToken, enrollmentSecretHash } from "./enrollment-token.ts";

/** What a host says of itself when it enrolls. Shown to the admin, believed by nobody. */
export interface HostFacts {
  /** At most 64 characters. */
  readonly version: string;
  /** At most 64 characters, such as `linux-x64`. */
  readonly platform: string;
  /** At most 255 characters. */
  readonly hostname: string;
}

const bytes = (lengthMin: number, lengthMax: number) =>
  z.instanceof(Uint8Array).refine(({ length }) => length >= lengthMin && length <= lengthMax);

const requestSchema = z.strictObject({
  version: z.literal(1),
  tokenId: idClaim,
  secret: bytes(32, 32),
  /** Encoded chain of the node. */
  identity: bytes(1, identityChainBytesMax),
  host: z.strictObject({ version: z.string().max(64), platform: z.string().max(64), hostname: z.string().max(255) }),
  signature: bytes(64, 64),
});

/**
 * What the node signs: deterministic CBOR [`mercury/1 enroll`, token id, authority's identifier, hash of its newest change].
 * So a request is worth nothing at another authority, and proves that the node holds the key it shows.
 */
export function enrollmentSigningBytes(tokenId: string, { identifier, last }: VerifiedIdentity): Bytes {
  return encodeCbor(["mercury/1 enroll", tokenId, identifier, last.hash]);
}

/**
 * A request to enroll, sealed to the authority's last X25519 key: token, identity, host, signature (PROTOCOL §4). Whatever
 * lies between can drop it, not take it over. Fault `too_large` above 64 KiB.
 */
export async function makeEnrollmentRequest(
  suite: CryptoSuite,
  random: Random,
  {
    token: { tokenId, secret },
    authority,
    keys,
    host: { version, platform, hostname },
  }: {
    readonly token: Pick<EnrollmentToken, "tokenId" | "secret">;
    readonly authority: VerifiedIdentity;
    readonly keys: Pick<NodeKeys, "identity" | "sign">;
    readonly host: HostFacts;
  },
): Promise<string> {
  const signature = await keys.sign(enrollmentSigningBytes(tokenId, authority));
  const request = requestSchema.parse({
    version: 1,
    tokenId,
    secret,
    identity: keys.identity.chain,
    host: { version, platform, hostname },
    signature,
  });
  const sealed = await seal(suite, random, recipientOf(authority), encodeCbor(request));
  if (sealed.length > enrollmentBodyBytesMax) throw new Fault("too_large", "an enrollment above its limit");
  return sealed;
}

/** A request whose signature holds. The token is still to be redeemed. */
export interface EnrollmentRequest {
  readonly tokenId: string;
  /** As `enrollmentSecretHash` gives it; compare with the stored one. */
  readonly secretHash: string;
  readonly identity: VerifiedIdentity;
  readonly host: HostFacts;
}

/**
 * Opens and checks a request at Solaris: the node's chain is valid and its last key has signed for this token and this
 * authority. Faults: `too_large`, `malformed`, `crypto` (sealed to another key, or changed; signature does not hold); those of
 * `verifyIdentity`.
 */
export async function openEnrollmentRequest(
  suite: CryptoSuite,
  unseal: Unseal,
  request: string,
  { authority, now }: { readonly authority: VerifiedIdentity; readonly now: number },
): Promise<EnrollmentRequest> {
  if (request.length > enrollmentBodyBytesMax) throw new Fault("too_large", "an enrollment above its limit");
  const { tokenId, secret, identity: chain, host, signature } = readRequest(await unseal(request));
  const identity = await verifyIdentity(suite, chain, { now });
  if (!(await suite.verify(identity.last.ed25519, enrollmentSigningBytes(tokenId, authority), signature)))
    throw new Fault("crypto", "the signature of an enrollment does not hold");
  return { tokenId, secretHash: await enrollmentSecretHash(suite, secret), identity, host };
}

function readRequest(plaintext: Uint8Array): z.infer<typeof requestSchema> {
  try {
    return requestSchema.parse(decodeCbor(plaintext));
  } catch {
    throw new Fault("malformed", "not an enrollment request"); // a cause could show the token's secret
  }
}
