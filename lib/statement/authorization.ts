import { z } from "zod";
import { type Bytes, base64url, decodeJson, encodeJson, equalBytes, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { authorizationHeaderBytesMax, clockLeewayMs, headerLifeMs } from "#lib/limits";
import { base64urlClaim, dateClaim, idClaim, identifierClaim, isExpired, numericDate } from "./claims.ts";
import type { HeaderKeys } from "./header-keys.ts";
import { makeJws, readJws } from "./jws.ts";

const scheme = "Mercury ";
const typ = "mercury-authorization";

const authorizationSchema = z.strictObject({
  /** Identifier of the agent. */
  sub: identifierClaim,
  /** Origin of the gateway that is to be opened. */
  aud: z.string().min(1).max(255),
  iat: dateClaim,
  /** At most 60 s after `iat`. */
  exp: dateClaim,
  /** Random, used once. */
  jti: idClaim,
  /** One agent may hold two tunnels. */
  slot: z.union([z.literal(0), z.literal(1)]),
  /** Continuity value that the agent has stored for the slot, base64url of at most 64 bytes; null before the first. */
  continuity: z.nullable(base64urlClaim(1, 64)),
});

/** What an agent says of itself when it opens a tunnel (PROTOCOL §5). */
export type AuthorizationClaims = Readonly<z.infer<typeof authorizationSchema>>;

/** An authorization header, read; nobody has vouched for it until `verifyAuthorizationMac`. */
export interface Authorization {
  /** 64 hex digits: the agent's identity change whose X25519 key was used. */
  readonly kid: string;
  readonly claims: AuthorizationClaims;
  /** The compact JWS: what the binding of the session's prologue is the SHA-256 of. */
  readonly token: string;
  /** What the MAC is over. */
  readonly signed: Bytes;
  /** 32 bytes. */
  readonly mac: Bytes;
}

/** What an agent puts into its header. */
export interface AuthorizationRequest {
  /** 64 hex digits: hash of the agent's last identity change. */
  readonly kid: string;
  readonly sub: string;
  /** Origin of the gateway. */
  readonly aud: string;
  readonly slot: 0 | 1;
  /** The stored value, at most 64 bytes; null before the first. */
  readonly continuity: Uint8Array | null;
  /** ms since 1970. */
  readonly now: number;
}

/**
 * Value of the `Authorization` header of one opening: `Mercury ` and a compact JWS, HS256 (RFC 7518 §3.2) under
 * `keys.header`, in date for 60 s, with a random `jti` of 16 bytes.
 */
export async function makeAuthorization(
  suite: CryptoSuite,
  random: Random,
  keys: Pick<HeaderKeys, "header">,
  { kid, sub, aud, slot, continuity, now }: AuthorizationRequest,
): Promise<string> {
  const iat = numericDate(now);
  const claims = authorizationSchema.parse({
    sub,
    aud,
    iat,
    exp: iat + headerLifeMs / 1_000,
    jti: base64url(random(16)),
    slot,
    continuity: continuity === null ? null : base64url(continuity),
  });
  const mac = (signed: Bytes) => suite.hmacSha256(keys.header, signed);
  return `${scheme}${await makeJws({ typ, alg: "HS256", kid }, encodeJson(claims), mac)}`;
}

/**
 * Form and size of a header, which is all that Nexus can check beside `aud`. Nothing in it is true yet: anyone can
 * write one. Faults: `authorization_invalid`, `too_large` (above 4 KiB).
 */
export function readAuthorizationUnverified(header: string): Authorization {
  if (header.length > authorizationHeaderBytesMax)
    throw new Fault("too_large", "an authorization header above its limit");
  if (!header.startsWith(scheme)) throw new Fault("authorization_invalid", "not of the scheme Mercury");
  const token = header.slice(scheme.length);
  const { kid, payload, signed, signature } = readJws(token, {
    typ,
    alg: "HS256",
    bytesMax: authorizationHeaderBytesMax,
    signatureBytes: 32,
    code: "authorization_invalid",
  });
  return { kid, claims: readClaims(payload), token, signed, mac: signature };
}

function readClaims(payload: Uint8Array): AuthorizationClaims {
  try {
    return authorizationSchema.parse(decodeJson(payload));
  } catch (cause) {
    throw new Fault("authorization_invalid", "the claims of an authorization do not fit", { cause });
  }
}

/** Fault `authorization_invalid` unless whoever made the header holds the agent's key. First of Solaris' checks. */
export async function verifyAuthorizationMac(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "header">,
  { signed, mac }: Pick<Authorization, "signed" | "mac">,
): Promise<void> {
  if (!equalBytes(await suite.hmacSha256(keys.header, signed), mac))
    throw new Fault("authorization_invalid", "the MAC of an authorization does not hold");
}

/** Fault `audience` unless the header is meant for one of these origins: those of the Nexus that asks. */
export function checkAuthorizationAudience(
  { aud }: Pick<AuthorizationClaims, "aud">,
  origins: readonly string[],
): void {
  if (!origins.includes(aud)) throw new Fault("audience", undefined, { detail: { aud } });
}

/**
 * Fault `clock` unless the header is in date at `now` (ms), give or take the leeway: one that is not is old or comes from a
 * wrong clock, which can't be told apart, and the agent is told the time. `authorization_invalid` when it lives above 60 s.
 */
export function checkAuthorizationTime({ iat, exp }: Pick<AuthorizationClaims, "iat" | "exp">, now: number): void {
  if (exp <= iat || exp - iat > headerLifeMs / 1_000)
    throw new Fault("authorization_invalid", "an authorization that lives too long");
  if (iat * 1_000 > now + clockLeewayMs || isExpired(exp, now))
    throw new Fault("clock", "an authorization out of date", { detail: { iat, nowMs: now } });
}

/** Until when (ms since 1970) a `jti` has to be remembered: afterwards the time alone refuses it. */
export function rememberAuthorizationUntil({ exp }: Pick<AuthorizationClaims, "exp">): number {
  return exp * 1_000 + clockLeewayMs;
}

/**
 * MAC, `aud` and time of a header, in this order. After it Solaris still inserts `jti` once and looks at the agent's state.
 * Faults: those of the checks above.
 */
export async function verifyAuthorization(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "header">,
  header: string,
  { origins, now }: { readonly origins: readonly string[]; readonly now: number },
): Promise<Authorization> {
  const authorization = readAuthorizationUnverified(header);
  await verifyAuthorizationMac(suite, keys, authorization);
  checkAuthorizationAudience(authorization.claims, origins);
  checkAuthorizationTime(authorization.claims, now);
  return authorization;
}

/** Binding of a session's prologue, 32 bytes: SHA-256 of the token in the header (PROTOCOL §6). */
export function authorizationBinding(suite: CryptoSuite, header: string): Promise<Bytes> {
  return suite.sha256(utf8(header.startsWith(scheme) ? header.slice(scheme.length) : header));
}
