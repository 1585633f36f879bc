import { type Bytes, decodeCbor, encodeCbor } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { identityChainBytesMax, statementBytesMax } from "#lib/limits";

/** What a node shows of itself in message 2 or 3 of a handshake (PROTOCOL §6). */
export interface Presentation {
  /** Its identity chain, at most `identityChainBytesMax` bytes. */
  readonly chain: Bytes;
  /** Its credential, a compact JWS. */
  readonly credential: string;
  /** The authority's chain as it knows it, at most `identityChainBytesMax` bytes. */
  readonly authority: Bytes;
}

/** What compact JWS are written with (RFC 7515 §7.1). */
const jwsText = /^[A-Za-z0-9_.-]*$/;

/** Deterministic CBOR map of the three. */
export function encodePresentation({ chain, credential, authority }: Presentation): Bytes {
  return encodeCbor({ chain, credential, authority });
}

/** The presentation of a payload. Fault `malformed` when it is anything else, or larger. */
export function decodePresentation(payload: Uint8Array): Presentation {
  let value: unknown;
  try {
    value = decodeCbor(payload);
  } catch (cause) {
    throw new Fault("malformed", "a handshake payload that is no CBOR", { cause });
  }
  if (value === null || typeof value !== "object" || Object.keys(value).length !== 3) throw notOne();
  const { chain, credential, authority }: Partial<Record<string, unknown>> = { ...value };
  if (typeof credential !== "string" || credential.length > statementBytesMax || !jwsText.test(credential))
    throw notOne();
  return { chain: chainOf(chain), credential, authority: chainOf(authority) };
}

function chainOf(value: unknown): Bytes {
  if (!(value instanceof Uint8Array) || value.length > identityChainBytesMax) throw notOne();
  return Uint8Array.from(value);
}

function notOne(): Fault {
  return new Fault("malformed", "a handshake payload of another form");
}
