import { hex } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { clockLeewayMs } from "#lib/limits";
import { type ChainLink, decodeChain } from "./chain.ts";
import { changeSigningBytes, decodeChange, type IdentityChange } from "./change.ts";
import type { VerifiedIdentity } from "./verified-identity.ts";

/** What a chain is checked against. */
export interface IdentityExpectation {
  /** ms since 1970 at which the last change must be in date; "any time" for a node's own stored chain. */
  readonly now: number | "any time";
  /** The identifier it must have. */
  readonly expected?: string;
}

/**
 * The identity of an encoded chain, every link checked: both signatures, order, no key twice, each change created
 * after the one before and before that one expired, the last in date (PROTOCOL §1).
 * Faults: `identity_invalid`, `too_large`; `identity_expired`; `clock` when the last change is from the future;
 * `identity_unexpected`.
 */
export async function verifyIdentity(
  suite: CryptoSuite,
  chain: Uint8Array,
  { now, expected }: IdentityExpectation,
): Promise<VerifiedIdentity> {
  const own = Uint8Array.from(chain); // the caller's may change while signatures are checked
  const changes: IdentityChange[] = [];
  for (const link of decodeChain(own)) {
    const change = await decodeChange(suite, link.change);
    checkOrder(change, changes);
    await checkSignatures(suite, link, change, changes.at(-1));
    changes.push(change);
  }
  const [first, last] = [changes[0], changes.at(-1)];
  if (first === undefined || last === undefined) throw new Fault("identity_invalid", "an empty identity chain");
  const identifier = `I${first.hash}`;
  if (expected !== undefined && identifier !== expected)
    throw new Fault("identity_unexpected", undefined, { detail: { expected, identifier } });
  if (now !== "any time") checkInDate(last, now);
  return { identifier, chain: own, changes, last };
}

function checkOrder(change: IdentityChange, before: readonly IdentityChange[]): void {
  const previous = before.at(-1);
  if (change.previous !== (previous?.hash ?? null))
    throw new Fault("identity_invalid", "a change that does not follow the one before");
  if (previous === undefined) return;
  if (change.createdMs <= previous.createdMs)
    throw new Fault("identity_invalid", "a change that is older than the one before");
  if (change.createdMs >= previous.expiresMs)
    throw new Fault("identity_invalid", "a change made after the one before had expired");
  // A key that comes back would give whoever holds a rotated-out key its place again.
  for (const former of before)
    if (hex(former.ed25519) === hex(change.ed25519) || hex(former.x25519) === hex(change.x25519))
      throw new Fault("identity_invalid", "a key that was used before");
}

async function checkSignatures(
  suite: CryptoSuite,
  { change: bytes, signatures }: ChainLink,
  change: IdentityChange,
  previous: IdentityChange | undefined,
): Promise<void> {
  const signers = previous === undefined ? [change] : [change, previous];
  if (signatures.length !== signers.length) throw new Fault("identity_invalid", "a signature too few or too many");
  const signed = changeSigningBytes(bytes);
  for (const [index, signer] of signers.entries()) {
    const signature = signatures[index];
    if (signature === undefined || !(await suite.verify(signer.ed25519, signed, signature)))
      throw new Fault("identity_invalid", "a signature of an identity change does not hold");
  }
}

/** Faults `clock` and `identity_expired` unless the change is in date at `now` (ms), give or take the leeway. */
export function checkInDate({ createdMs, expiresMs }: IdentityChange, now: number): void {
  if (createdMs > now + clockLeewayMs) throw new Fault("clock", "an identity change from the future");
  if (expiresMs + clockLeewayMs <= now) throw new Fault("identity_expired");
}
