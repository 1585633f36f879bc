import { describe, expect, test } from "bun:test";
import * as jose from "jose";
import { base64url, decodeCbor, encodeCbor, fromBase64url, fromUtf8, utf8 } from "#lib/bytes";
import type { FaultCode } from "#lib/fault";
import { clockLeewayMs, messageStatementBytesMax } from "#lib/limits";
import { caught, expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";
import { type KindUnderTest, kinds } from "./kinds.ts";
import { agent, authority, begin, iat, newParty, now, rotated, stranger } from "./world.ts";

const table = kinds.map((kind) => [kind.typ, kind] as const);
const josePublic = await jose.importJWK(
  { kty: "OKP", crv: "Ed25519", x: base64url(authority.identity.last.ed25519) },
  "EdDSA",
);
const goodHeader = (typ: string) => ({ alg: "EdDSA", kid: authority.identity.last.hash, typ });

/** A statement with this header and payload text, signed by the authority all the same. */
async function resigned(header: unknown, payload: Uint8Array, signer = authority.signer): Promise<string> {
  const signed = `${base64url(utf8(typeof header === "string" ? header : JSON.stringify(header)))}.${base64url(payload)}`;
  return `${signed}.${base64url(await signer.sign(utf8(signed)))}`;
}

const payloadOf = (jws: string) => fromBase64url(jws.split(".")[1] ?? "") ?? new Uint8Array(0);

/** Claims as they travel, changed by `change`, signed as they should be. */
async function withClaims(kind: KindUnderTest, change: (claims: Record<string, unknown>) => void): Promise<string> {
  const cbor = kind.typ === "mercury-message";
  const payload = payloadOf(await kind.sign());
  const claims = (cbor ? decodeCbor(payload) : JSON.parse(fromUtf8(payload))) as Record<string, unknown>;
  change(claims);
  return await resigned(goodHeader(kind.typ), cbor ? encodeCbor(claims as never) : utf8(JSON.stringify(claims)));
}

describe.each(table)("%s", (typ, kind) => {
  test("that is good is verified", async () => {
    expect(await kind.verify(await kind.sign())).toBeDefined();
  });

  test("has a signature that jose verifies, and a header of three names", async () => {
    const { protectedHeader } = await jose.compactVerify(await kind.sign(), josePublic, { algorithms: ["EdDSA"] });
    expect(protectedHeader).toEqual(goodHeader(typ));
  });

  test("that jose signed is verified", async () => {
    const d = base64url(authority.secrets.ed25519);
    const x = base64url(authority.identity.last.ed25519);
    const key = await jose.importJWK({ kty: "OKP", crv: "Ed25519", x, d }, "EdDSA");
    const payload = payloadOf(await kind.sign());
    const jws = await new jose.CompactSign(payload).setProtectedHeader(goodHeader(typ)).sign(key);
    expect(await kind.verify(jws)).toBeDefined();
  });

  test.each(kinds.filter((other) => other.typ !== typ).map((other) => [other.typ, other] as const))(
    "is not taken from a %s",
    async (_, other) => {
      const jws = await other.sign();
      await expectFault(kind.verify(jws), "statement_invalid");
      // Nor with the name of this kind on the other's claims.
      await expectFault(kind.verify(await resigned(goodHeader(typ), payloadOf(jws))), "statement_invalid");
    },
  );

  test.each([
    ["alg none", { alg: "none" }],
    ["HS256", { alg: "HS256" }],
    ["Ed25519 by its newer name", { alg: "Ed25519" }],
    ["ES256", { alg: "ES256" }],
    ["no typ", { typ: undefined }],
    ["the typ of any JWT", { typ: "JWT" }],
    ["its typ in capitals", { typ: typ.toUpperCase() }],
    ["its typ as a media type", { typ: `application/${typ}` }],
    ["no kid", { kid: undefined }],
    ["kid of nobody", { kid: "0".repeat(64) }],
    ["kid of another", { kid: stranger.identity.last.hash }],
    ["kid in capitals", { kid: authority.identity.last.hash.toUpperCase() }],
    ["crit", { crit: ["exp"] }],
    ["b64", { b64: false }],
    ["a key of its own", { jwk: { kty: "OKP" } }],
    ["an address of keys", { jku: "https://other.example/" }],
    ["zip", { zip: "DEF" }],
    ["an unknown name", { note: 1 }],
  ])("header with %s is refused", async (_, change) => {
    const payload = payloadOf(await kind.sign());
    const jws = await resigned({ ...goodHeader(typ), ...change }, payload);
    await expectFault(kind.verify(jws), "statement_invalid");
  });

  test("without a signature, or with one of a MAC under the public key, is refused", async () => {
    const payload = payloadOf(await kind.sign());
    const none = `${base64url(utf8(JSON.stringify({ alg: "none", kid: authority.identity.last.hash, typ })))}.${base64url(payload)}.`;
    await expectFault(kind.verify(none), "statement_invalid");
    const header = { alg: "HS256", kid: authority.identity.last.hash, typ };
    const confused = await new jose.CompactSign(payload)
      .setProtectedHeader(header)
      .sign(authority.identity.last.ed25519);
    await expectFault(kind.verify(confused), "statement_invalid");
  });

  test("header in another spelling is refused", async () => {
    const payload = payloadOf(await kind.sign());
    const { alg, kid } = goodHeader(typ);
    const texts = [
      `{"alg":"none","alg":"${alg}","kid":"${kid}","typ":"${typ}"}`,
      `{ "alg":"${alg}","kid":"${kid}","typ":"${typ}"}`,
      `{"\\u0061lg":"${alg}","kid":"${kid}","typ":"${typ}"}`,
      `\ufeff{"alg":"${alg}","kid":"${kid}","typ":"${typ}"}`,
      `["${alg}"]`,
      "null",
      "",
    ];
    for (const text of texts) await expectFault(kind.verify(await resigned(text, payload)), "statement_invalid");
  });

  test("by another signer is refused, whatever kid it claims", async () => {
    await expectFault(kind.verify(await kind.sign({}, stranger.signer)), "statement_invalid");
    const claiming = { ...stranger.signer, kid: authority.identity.last.hash };
    await expectFault(kind.verify(await kind.sign({}, claiming)), "statement_invalid");
  });

  test("with any byte turned is refused", async () => {
    const parts = (await kind.sign()).split(".");
    for (const [index, part] of parts.entries()) {
      const bytes = fromBase64url(part) ?? new Uint8Array(0);
      for (let at = 0; at < bytes.length; at += 3) {
        const changed = parts.with(index, base64url(withBitTurned(bytes, at, at % 8))).join(".");
        expect(await caught(kind.verify(changed))).toMatchObject({ name: "Fault" });
      }
    }
  });

  test("in a second spelling of the same base64url is refused", async () => {
    const jws = await kind.sign();
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const spelled = jws.slice(0, -1) + alphabet[alphabet.indexOf(jws.at(-1) ?? "") + 1];
    expect(await jose.compactVerify(spelled, josePublic)).toBeDefined(); // the trap
    for (const other of [
      spelled,
      `${jws}=`,
      `${jws}\n`,
      ` ${jws}`,
      `${jws}.`,
      jws.replaceAll(".", ".."),
      jws.replace("-", "+"),
    ])
      if (other !== jws) await expectFault(kind.verify(other), "statement_invalid");
  });

  test.each(kind.required)("without %s is refused", async (claim) => {
    const jws = await withClaims(kind, (claims) => {
      delete claims[claim];
    });
    expect(await caught(kind.verify(jws))).toMatchObject({ code: "statement_invalid" });
  });

  test("with a claim too many, or one of another type, is refused", async () => {
    const more = await withClaims(kind, (claims) => {
      claims.nbf = 0;
    });
    await expectFault(kind.verify(more), "statement_invalid");
    const otherType = await withClaims(kind, (claims) => {
      claims.iat = String(claims.iat);
    });
    await expectFault(kind.verify(otherType), "statement_invalid");
    const fraction = await withClaims(kind, (claims) => {
      claims.iat = iat + 0.5;
    });
    await expectFault(kind.verify(fraction), "statement_invalid");
  });

  test("that our own side got wrong is a bug, not a statement", async () => {
    expect(await caught(kind.sign({ iat: "soon" }))).toBeInstanceOf(TypeError);
  });

  test("issued in the future is refused, give or take the leeway", async () => {
    const leeway = clockLeewayMs / 1_000;
    const soon = await kind.sign({ iat: iat + leeway });
    expect(await kind.verify(soon)).toBeDefined();
    await expectFault(kind.verify(await kind.sign({ iat: iat + leeway + 1 })), "clock");
  });

  test("above its size is refused unread", async () => {
    await expectFault(kind.verify("A".repeat(messageStatementBytesMax + 1)), "too_large");
  });

  test("of a superseded key is refused, with or without the credential's exception", async () => {
    const successor = await rotated(authority, now - 1_000);
    const late = await kind.sign({ iat: iat + 1 }, authority.signer);
    await expectFault(kind.verify(late, now, successor.identity), "statement_stale");
  });
});

describe.each([
  ["mercury-credential", "credential_expired"],
  ["mercury-command", "statement_expired"],
] as const)("%s", (typ, code: FaultCode) => {
  const kind = kinds.find((one) => one.typ === typ) as KindUnderTest;
  test("out of date is refused, give or take the leeway", async () => {
    const jws = await kind.sign({ exp: iat + 10 });
    expect(await kind.verify(jws, now + 10_000 + clockLeewayMs - 1)).toBeDefined();
    await expectFault(kind.verify(jws, now + 10_000 + clockLeewayMs), code);
  });
});

test("every kind that is an order names its recipient", async () => {
  const other = await newParty(begin);
  for (const kind of kinds.filter(({ sealedFor }) => sealedFor)) {
    const jws = await kind.sign({ sub: other.identity.identifier });
    const error = await caught(kind.verify(jws));
    expect(error).toMatchObject({ name: "Fault" });
    expect(["statement_invalid", "credential_invalid"]).toContain((error as { code: string }).code);
  }
  expect(agent.identity.identifier).not.toBe(other.identity.identifier);
});
