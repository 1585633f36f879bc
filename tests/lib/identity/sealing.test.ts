import { describe, expect, test } from "bun:test";
import * as jose from "jose";
import { base64url, fromBase64url, utf8 } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { createIdentity, makeUnseal, recipientOf, seal, sealedKid, unsealedText } from "#lib/identity";
import { sealedBytesMax } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import { expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";
import { begin } from "./forge.ts";

const { secrets, identity } = await createIdentity(webSuite, systemRandom, { now: begin });
const recipient = recipientOf(identity);
const own = await webSuite.agreementKey(secrets.x25519);
const unseal = makeUnseal(webSuite, (kid) => (kid === recipient.kid ? own : undefined));
const jwk = { kty: "OKP", crv: "X25519", x: base64url(recipient.x25519) };
const josePublic = await jose.importJWK(jwk, "ECDH-ES");
const josePrivate = await jose.importJWK({ ...jwk, d: base64url(secrets.x25519) }, "ECDH-ES");
const content = utf8("what only one may read");

/** A JWE of jose's making, for us; header parameters replaced or added by `header`. */
function byJose(header: Record<string, unknown> = {}, key: Parameters<jose.CompactEncrypt["encrypt"]>[0] = josePublic) {
  const protectedHeader = { alg: "ECDH-ES", enc: "A256GCM", kid: recipient.kid, ...header };
  return new jose.CompactEncrypt(content)
    .setProtectedHeader(protectedHeader as jose.CompactJWEHeaderParameters)
    .encrypt(key);
}

/** jose writes alg, enc, kid, epk; our one form has its names in any order, without blanks. */
describe("sealing, against jose as an independent implementation", () => {
  test.each([webSuite, nobleSuite])("jose opens what we seal", async (suite) => {
    const sealed = await seal(suite, systemRandom, recipient, content);
    const { plaintext, protectedHeader } = await jose.compactDecrypt(sealed, josePrivate);
    expect(plaintext).toEqual(content);
    expect(Object.keys(protectedHeader).toSorted()).toEqual(["alg", "enc", "epk", "kid"]);
    expect(protectedHeader.kid).toBe(recipient.kid);
  });

  test("we open what jose seals", async () => {
    expect(await unseal(await byJose())).toEqual(content);
  });

  test("both suites open what the other sealed, up to the limit", async () => {
    const large = systemRandom(100_000);
    const noble = makeUnseal(nobleSuite, () => own);
    expect(await noble(await seal(webSuite, systemRandom, recipient, large))).toEqual(large);
    expect(await unseal(await seal(nobleSuite, systemRandom, recipient, large))).toEqual(large);
    await expectFault(seal(webSuite, systemRandom, recipient, new Uint8Array(1_500_000)), "too_large");
  });
});

describe("what is sealed otherwise is refused", () => {
  test("another content encryption", async () => {
    await expectFault(unseal(await byJose({ enc: "A128GCM" })), "malformed");
    await expectFault(unseal(await byJose({ enc: "A256CBC-HS512" })), "malformed");
  });

  test("a wrapped or shared content key", async () => {
    await expectFault(unseal(await byJose({ alg: "ECDH-ES+A256KW" })), "malformed");
    await expectFault(unseal(await byJose({ alg: "dir" }, new Uint8Array(32))), "malformed");
  });

  test("compressed content, which could grow without limit", async () => {
    const sealed = await byJose();
    const header = { ...jose.decodeProtectedHeader(sealed), zip: "DEF" };
    await expectFault(unseal(withHeader(sealed, header)), "malformed");
  });

  test.each([{ crit: ["b64"] }, { apu: "AA" }, { cty: "JWT" }, { jku: "https://other/" }, { p2c: 1 }])(
    "header with %p",
    async (more) => {
      const sealed = await byJose();
      await expectFault(unseal(withHeader(sealed, { ...jose.decodeProtectedHeader(sealed), ...more })), "malformed");
    },
  );

  test("a wrapped key beside direct agreement, which nothing authenticates", async () => {
    const parts = (await byJose()).split(".");
    await expectFault(unseal(parts.with(1, "AAAA").join(".")), "malformed");
  });

  test("no kid, or that of another", async () => {
    const sealed = await byJose();
    const { kid: _, ...header } = jose.decodeProtectedHeader(sealed);
    await expectFault(unseal(withHeader(sealed, header)), "malformed");
    await expectFault(unseal(await byJose({ kid: "0".repeat(64) })), "crypto");
    expect(sealedKid(sealed)).toBe(recipient.kid);
  });

  test("an ephemeral key of low order, or on another curve", async () => {
    const sealed = await byJose();
    const header = jose.decodeProtectedHeader(sealed);
    const zero = { kty: "OKP", crv: "X25519", x: base64url(new Uint8Array(32)) };
    await expectFault(unseal(withHeader(sealed, { ...header, epk: zero })), "crypto");
    await expectFault(unseal(withHeader(sealed, { ...header, epk: { ...zero, crv: "X448" } })), "malformed");
    await expectFault(unseal(withHeader(sealed, { ...header, epk: { ...zero, d: "AA" } })), "malformed");
  });

  test("any part changed", async () => {
    const sealed = await seal(webSuite, systemRandom, recipient, content);
    const parts = sealed.split(".");
    for (const [index, part] of parts.entries()) {
      const bytes = fromBase64url(part) ?? new Uint8Array(0);
      for (let at = 0; at < bytes.length; at++) {
        const changed = parts.with(index, base64url(withBitTurned(bytes, at)));
        const error = await unseal(changed.join(".")).catch((one: unknown) => one);
        expect(error).toMatchObject({ name: "Fault" });
      }
    }
  });

  test("a second spelling of the same bytes", async () => {
    const sealed = await seal(webSuite, systemRandom, recipient, content);
    const last = sealed.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const spelled = sealed.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]; // a 16-byte tag leaves 4 bits unused
    expect(await jose.compactDecrypt(spelled, josePrivate)).toBeDefined(); // the trap
    await expectFault(unseal(spelled), "malformed");
    await expectFault(unseal(`${sealed}=`), "malformed");
    await expectFault(unseal(`${sealed}.`), "malformed");
    await expectFault(unseal(` ${sealed}`), "malformed");
  });

  test("more than the limit, unread", async () => {
    await expectFault(unseal(".".repeat(sealedBytesMax + 1)), "too_large");
  });
});

test("sealed bytes that are no text are told as such", async () => {
  expect(unsealedText(content)).toBe("what only one may read");
  await expectFault(() => unsealedText(Uint8Array.of(0xff)), "malformed");
});

function withHeader(jwe: string, header: object): string {
  return [base64url(utf8(JSON.stringify(header))), ...jwe.split(".").slice(1)].join(".");
}
