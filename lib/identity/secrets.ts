import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor } from "#lib/bytes";
import type { Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import { formerAgreementKeysMax } from "#lib/limits";

/** The private half of an identity: for the store alone. Everyone else gets `NodeKeys`. */
export interface IdentitySecrets {
  /** 32 bytes: Ed25519 seed. */
  readonly ed25519: Bytes;
  /** 32 bytes: X25519 secret. */
  readonly x25519: Bytes;
  /** X25519 secrets of changes before (by their hash), the newest first: they only open sealed data. */
  readonly former: readonly { readonly kid: string; readonly x25519: Bytes }[];
}

/** Random secrets without a past. */
export function newSecrets(random: Random): IdentitySecrets {
  return { ed25519: random(32), x25519: random(32), former: [] };
}

/** `next` with the X25519 secret of `before`, whose change was `kid`, kept; the oldest beyond 4 is dropped. */
export function secretsAfter(before: IdentitySecrets, kid: string, next: IdentitySecrets): IdentitySecrets {
  const former = [{ kid, x25519: before.x25519 }, ...before.former].slice(0, formerAgreementKeysMax);
  return { ...next, former };
}

/** `secrets` without the keys of changes before: once everything was sealed again. */
export function withoutFormer(secrets: IdentitySecrets): IdentitySecrets {
  return { ...secrets, former: [] };
}

const secret = z
  .instanceof(Uint8Array)
  .refine((bytes) => bytes.length === 32)
  .transform((bytes): Bytes => Uint8Array.from(bytes));
const secretsSchema = z.strictObject({
  version: z.literal(1),
  ed25519: secret,
  x25519: secret,
  former: z
    .array(z.strictObject({ kid: z.string().regex(/^[0-9a-f]{64}$/), x25519: secret }))
    .max(formerAgreementKeysMax),
});

/** CBOR for an encrypted store. Holds private keys in the clear. */
export function encodeSecrets({ ed25519, x25519, former }: IdentitySecrets): Bytes {
  return encodeCbor({ version: 1, ed25519, x25519, former: former.map((one) => ({ ...one })) });
}

/** What `encodeSecrets` wrote. Fault `malformed` (without a cause, which could show what it met). */
export function decodeSecrets(bytes: Uint8Array): IdentitySecrets {
  try {
    const { ed25519, x25519, former } = secretsSchema.parse(decodeCbor(bytes));
    return { ed25519, x25519, former };
  } catch {
    throw new Fault("malformed", "not the secrets of an identity");
  }
}
