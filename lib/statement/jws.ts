import { z } from "zod";
import { type Bytes, base64url, decodeJson, encodeJson, fromBase64url, utf8 } from "#lib/bytes";
import { Fault, type FaultCode } from "#lib/fault";

/** Algorithms of compact JWS here: EdDSA for statements (RFC 8037 §3.1), HS256 for the header of an opening. */
type Algorithm = "EdDSA" | "HS256";

/** The three parts of a compact JWS (RFC 7515 §7.1), decoded; the signature is not checked yet. */
export interface JwsParts {
  /** 64 hex digits. */
  readonly kid: string;
  readonly payload: Bytes;
  /** What the signature is over: header, dot, payload as they travel (RFC 7515 §5.2 step 8). */
  readonly signed: Bytes;
  readonly signature: Bytes;
}

/** What a reader demands of a compact JWS before it looks at the signature. */
export interface JwsForm {
  readonly typ: string;
  readonly alg: Algorithm;
  readonly bytesMax: number;
  readonly signatureBytes: number;
  /** Code of the fault when it is not of this form. */
  readonly code: FaultCode;
}

const headerSchema = z.strictObject({
  alg: z.string(),
  kid: z.string().regex(/^[0-9a-f]{64}$/),
  typ: z.string(),
});
const headerLengthMax = 256;

/**
 * A compact JWS with the header {alg, kid, typ} and nothing else.
 *
 * Not made by jose, though the tests let jose verify what this makes and the other way round: the signing key may
 * stay in a KMS; and what jose takes unless told otherwise (another `typ`, no `exp`, a second spelling of the
 * same base64url, `crit`) has to be refused before it is called, which leaves it one call of Ed25519.
 */
export async function makeJws(
  { typ, alg, kid }: { readonly typ: string; readonly alg: Algorithm; readonly kid: string },
  payload: Uint8Array,
  sign: (signed: Bytes) => Promise<Uint8Array>,
): Promise<string> {
  const signed = `${base64url(encodeJson({ alg, kid, typ }))}.${base64url(payload)}`;
  return `${signed}.${base64url(await sign(utf8(signed)))}`;
}

/** The parts of a compact JWS of this form. Faults: `too_large`, `form.code`. */
export function readJws(jws: string, form: JwsForm): JwsParts {
  const { code } = form;
  if (jws.length > form.bytesMax) throw new Fault("too_large", `a ${form.typ} above its limit`);
  const [header, payloadText, signatureText, ...rest] = jws.split(".", 4);
  if (header === undefined || payloadText === undefined || signatureText === undefined || rest.length > 0)
    throw new Fault(code, "not a compact JWS");
  const { alg, kid, typ } = readJwsHeader(header, code);
  if (typ !== form.typ) throw new Fault(code, `not a ${form.typ}`);
  if (alg !== form.alg) throw new Fault(code, "signed with another algorithm");
  const [payload, signature] = [fromBase64url(payloadText), fromBase64url(signatureText)];
  if (payload === undefined || signature?.length !== form.signatureBytes)
    throw new Fault(code, "a part of a JWS is not of its form");
  return { kid, payload, signed: utf8(`${header}.${payloadText}`), signature };
}

/** The header of a compact JWS. Fault `code` when it is not {alg, kid, typ}. */
export function readJwsHeader(text: string, code: FaultCode): z.infer<typeof headerSchema> {
  const bytes = text.length > headerLengthMax ? undefined : fromBase64url(text);
  if (bytes === undefined) throw new Fault(code, "the header of a JWS is not base64url, or too long");
  try {
    return headerSchema.parse(decodeJson(bytes));
  } catch (cause) {
    throw new Fault(code, "the header of a JWS is not {alg, kid, typ}", { cause });
  }
}
