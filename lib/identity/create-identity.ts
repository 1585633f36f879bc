import { type Bytes, fromHex } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { identityChangesMax, identityLifeMs } from "#lib/limits";
import { decodeChain, encodeChain } from "./chain.ts";
import { changeSigningBytes, encodeChange } from "./change.ts";
import { type IdentitySecrets, newSecrets, secretsAfter } from "./secrets.ts";
import type { VerifiedIdentity } from "./verified-identity.ts";
import { verifyIdentity } from "./verify-identity.ts";

/** The keys of one change: public halves, and the use of the Ed25519 one. A KMS can be one as well as memory. */
export interface ChangeKeys {
  /** 32 bytes. */
  readonly ed25519: Uint8Array;
  /** 32 bytes. */
  readonly x25519: Uint8Array;
  /** The 64-byte Ed25519 signature of `message`. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** From when on (ms since 1970) and how long a change is in date. Default life: `identityLifeMs`, a year. */
export interface ChangeTime {
  readonly now: number;
  readonly lifeMs?: number;
}

/** An identity of one change with these keys (PROTOCOL §1). */
export async function beginIdentity(
  suite: CryptoSuite,
  keys: ChangeKeys,
  { now, lifeMs = identityLifeMs }: ChangeTime,
): Promise<VerifiedIdentity> {
  const change = encodeChange({ previous: null, ...publicHalves(keys), createdMs: now, expiresMs: now + lifeMs });
  const signatures = [await keys.sign(changeSigningBytes(change))];
  return await verifyIdentity(suite, encodeChain([{ change, signatures }]), { now: "any time" });
}

/**
 * `identity` with one more change, whose keys are `next`; `before.sign` is the use of its last key (PROTOCOL §1).
 * Fault `identity_expired` when its last change is out of date, `conflict` when it has its 64 changes.
 */
export async function continueIdentity(
  suite: CryptoSuite,
  identity: VerifiedIdentity,
  before: Pick<ChangeKeys, "sign">,
  next: ChangeKeys,
  { now, lifeMs = identityLifeMs }: ChangeTime,
): Promise<VerifiedIdentity> {
  const { last, changes, chain } = identity;
  if (changes.length >= identityChangesMax) throw new Fault("conflict", "an identity chain has its most changes");
  const createdMs = Math.max(now, last.createdMs + 1); // a clock that went back must not end a chain
  if (createdMs >= last.expiresMs) throw new Fault("identity_expired", "too late to rotate: enroll again");
  const previous = fromHex(last.hash) ?? null;
  const change = encodeChange({ previous, ...publicHalves(next), createdMs, expiresMs: createdMs + lifeMs });
  const signed = changeSigningBytes(change);
  const signatures = [await next.sign(signed), await before.sign(signed)];
  return await verifyIdentity(suite, encodeChain([...decodeChain(chain), { change, signatures }]), { now: "any time" });
}

/** An identity together with what its holder keeps to itself. */
export interface OwnIdentity {
  readonly secrets: IdentitySecrets;
  /** The encoded chain: `identity.chain`. */
  readonly chain: Bytes;
  readonly identity: VerifiedIdentity;
}

/** A new identity with random keys. */
export async function createIdentity(suite: CryptoSuite, random: Random, time: ChangeTime): Promise<OwnIdentity> {
  const secrets = newSecrets(random);
  const identity = await beginIdentity(suite, await keysOf(suite, secrets), time);
  return { secrets, chain: identity.chain, identity };
}

/**
 * `own` rotated to new random keys; its former X25519 key stays in the secrets to open what was sealed to it.
 * Store the outcome before telling anyone. Faults as `continueIdentity`.
 */
export async function extendIdentity(
  suite: CryptoSuite,
  random: Random,
  own: Pick<OwnIdentity, "secrets" | "identity">,
  time: ChangeTime,
): Promise<OwnIdentity> {
  const secrets = secretsAfter(own.secrets, own.identity.last.hash, newSecrets(random));
  const [before, next] = [await keysOf(suite, own.secrets), await keysOf(suite, secrets)];
  const identity = await continueIdentity(suite, own.identity, before, next, time);
  return { secrets, chain: identity.chain, identity };
}

async function keysOf(suite: CryptoSuite, secrets: IdentitySecrets): Promise<ChangeKeys> {
  const signing = await suite.signingKey(secrets.ed25519);
  const agreement = await suite.agreementKey(secrets.x25519);
  return { ed25519: signing.publicKey, x25519: agreement.publicKey, sign: (message) => signing.sign(message) };
}

function publicHalves({ ed25519, x25519 }: ChangeKeys): { ed25519: Uint8Array; x25519: Uint8Array } {
  return { ed25519, x25519 };
}
