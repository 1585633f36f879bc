import type { ZodType } from "zod";
import { decodeJson, encodeJson, type JsonValue } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { IdentityChange, VerifiedIdentity } from "#lib/identity";
import { statementBytesMax } from "#lib/limits";
import { type JwsForm, makeJws, readJws, readJwsHeader } from "./jws.ts";
import type { Signer } from "./signer.ts";

/** One kind of statement: its `typ`, how its claims become bytes and back, its size (PROTOCOL §2). */
export interface Kind<Claims> {
  readonly typ: string;
  readonly bytesMax: number;
  encode(claims: Claims): Uint8Array;
  /** Throws when the bytes are not claims of this kind. */
  decode(payload: Uint8Array): Claims;
}

/** A kind whose claims are JSON of this schema, at most 1 MiB as a compact JWS. */
export function jsonKind<Claims extends JsonValue>(typ: string, schema: ZodType<Claims>): Kind<Claims> {
  return {
    typ,
    bytesMax: statementBytesMax,
    encode: (claims) => encodeJson(schema.parse(claims)),
    decode: (payload) => schema.parse(decodeJson(payload)),
  };
}

/**
 * Claims signed as compact JWS. TypeError when they do not fit the kind: that is a bug here. Fault `too_large` when
 * they make more than the kind's limit.
 */
export async function signStatement<Claims>(kind: Kind<Claims>, signer: Signer, claims: Claims): Promise<string> {
  const payload = encodeClaims(kind, claims);
  const jws = await makeJws({ typ: kind.typ, alg: "EdDSA", kid: signer.kid }, payload, (signed) => signer.sign(signed));
  if (jws.length > kind.bytesMax) throw new Fault("too_large", `a ${kind.typ} above its limit`);
  return jws;
}

function encodeClaims<Claims>(kind: Kind<Claims>, claims: Claims): Uint8Array {
  try {
    return kind.encode(claims);
  } catch (cause) {
    throw new TypeError(`not the claims of a ${kind.typ}`, { cause });
  }
}

/** A statement whose signature holds. */
export interface Verified<Claims> {
  readonly claims: Claims;
  /** The change of the signer that came after the one which signed; undefined when that is its last. */
  readonly successor: IdentityChange | undefined;
}

/**
 * The claims of a statement of this kind, signed by one of the changes of `signer`. Whether a change that is not the
 * last counts is for the caller: see `verifyStatement`. Faults: `too_large`, `statement_invalid`.
 */
export async function verifySignature<Claims>(
  suite: CryptoSuite,
  kind: Kind<Claims>,
  jws: string,
  signer: VerifiedIdentity,
): Promise<Verified<Claims>> {
  const { kid, payload, signed, signature } = readJws(jws, formOf(kind));
  const index = signer.changes.findIndex(({ hash }) => hash === kid);
  const change = signer.changes[index];
  if (change === undefined)
    throw new Fault("statement_invalid", `a ${kind.typ} signed by another`, { detail: { kid } });
  if (!(await suite.verify(change.ed25519, signed, signature)))
    throw new Fault("statement_invalid", `the signature of a ${kind.typ} does not hold`);
  return { claims: decodeClaims(kind, payload), successor: signer.changes[index + 1] };
}

/** The claims of a statement of this kind, whoever signed it: only to find out what to verify it against. */
export function readUnverified<Claims>(kind: Kind<Claims>, jws: string): Claims {
  return decodeClaims(kind, readJws(jws, formOf(kind)).payload);
}

/** 64 hex digits: the change that signed, as the header says. Faults: `statement_invalid`. Nothing is verified. */
export function statementKid(jws: string): string {
  return readJwsHeader(jws.slice(0, Math.max(0, jws.indexOf("."))), "statement_invalid").kid;
}

function formOf({ typ, bytesMax }: Pick<Kind<unknown>, "typ" | "bytesMax">): JwsForm {
  return { typ, alg: "EdDSA", bytesMax, signatureBytes: 64, code: "statement_invalid" };
}

function decodeClaims<Claims>(kind: Kind<Claims>, payload: Uint8Array): Claims {
  try {
    return kind.decode(payload);
  } catch (cause) {
    throw new Fault("statement_invalid", `the claims of a ${kind.typ} do not fit`, { cause });
  }
}

/**
 * As `verifySignature`, and the signing change is the signer's last: what a superseded key has signed was signed anew
 * at the rotation (PROTOCOL §3). Fault `statement_stale` otherwise. Credentials have a rule of their own.
 */
export async function verifyStatement<Claims>(
  suite: CryptoSuite,
  kind: Kind<Claims>,
  jws: string,
  signer: VerifiedIdentity,
): Promise<Claims> {
  const { claims, successor } = await verifySignature(suite, kind, jws, signer);
  if (successor !== undefined) throw new Fault("statement_stale", `a ${kind.typ} signed by a superseded key`);
  return claims;
}
