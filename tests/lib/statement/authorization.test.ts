import { describe, expect, test } from "bun:test";
import * as jose from "jose";
import { base64url, equalBytes, fromBase64url, hex, utf8 } from "#lib/bytes";
import { nobleSuite } from "#lib/crypto";
import { nodeKeys } from "#lib/identity";
import { authorizationHeaderBytesMax, clockLeewayMs, headerLifeMs } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import {
  authorizationBinding,
  checkAuthorizationTime,
  headerKeys,
  makeAnswer,
  makeAuthorization,
  readAuthorizationUnverified,
  rememberAuthorizationUntil,
  verifyAnswer,
  verifyAuthorization,
  verifyAuthorizationMac,
} from "#lib/statement";
import { caught, expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";
import { agent, iat, now, stranger, suite } from "./world.ts";

const agentKeys = await nodeKeys(suite, agent.secrets, agent.identity);
const perAgent = await suite.agreementKey(systemRandom(32));
const agentPublic = agent.identity.last.x25519;
const keys = await headerKeys(suite, await agentKeys.agree(perAgent.publicKey), agentPublic, perAgent.publicKey);
const origin = "wss://gateway.example";
const checks = { origins: [origin, "wss://other.example"], now };
const request = {
  kid: agent.identity.last.hash,
  sub: agent.identity.identifier,
  aud: origin,
  slot: 1,
  continuity: systemRandom(16),
  now,
} as const;
const make = (over: Partial<Parameters<typeof makeAuthorization>[3]> = {}) =>
  makeAuthorization(suite, systemRandom, keys, { ...request, ...over });

/** Header and claims of one's own choice, with a good MAC all the same. */
async function forged(change: { header?: object; claims?: object }, key = keys.header): Promise<string> {
  const { claims } = readAuthorizationUnverified(await make());
  const header = { alg: "HS256", kid: request.kid, typ: "mercury-authorization", ...change.header };
  const [first, second] = [header, { ...claims, ...change.claims }].map((part) =>
    base64url(utf8(JSON.stringify(part))),
  );
  const signed = `${first}.${second}`;
  return `Mercury ${signed}.${base64url(await suite.hmacSha256(key, utf8(signed)))}`;
}

describe("keys", () => {
  test("are the same at both ends, on both suites, and two", async () => {
    const shared = await perAgent.agree(agentPublic);
    expect(await headerKeys(nobleSuite, shared, agentPublic, perAgent.publicKey)).toEqual(keys);
    expect(equalBytes(keys.header, keys.answer)).toBe(false);
  });

  test("are what Web Crypto's HKDF gives for PROTOCOL §5", async () => {
    const shared = await perAgent.agree(agentPublic);
    const base = await crypto.subtle.importKey("raw", shared, "HKDF", false, ["deriveBits"]);
    const salt = new Uint8Array([...agentPublic, ...perAgent.publicKey]);
    for (const [info, key] of [
      ["mercury/1 header", keys.header],
      ["mercury/1 answer", keys.answer],
    ] as const) {
      const bits = await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info: utf8(info) }, base, 256);
      expect(hex(new Uint8Array(bits))).toBe(hex(key));
    }
  });

  test("change with either public key and with their order", async () => {
    const shared = await perAgent.agree(agentPublic);
    const other = await headerKeys(suite, shared, perAgent.publicKey, agentPublic);
    const another = await headerKeys(suite, shared, agentPublic, stranger.identity.last.x25519);
    expect(new Set([keys, other, another].map(({ header }) => hex(header))).size).toBe(3);
  });
});

describe("an authorization", () => {
  test("that is good is verified, and says what it was made of", async () => {
    const header = await make();
    const { kid, claims } = await verifyAuthorization(suite, keys, header, checks);
    expect(kid).toBe(request.kid);
    const { sub, aud, slot } = request;
    expect(claims).toMatchObject({ sub, aud, slot, iat, exp: iat + 60, continuity: base64url(request.continuity) });
    expect(header.length).toBeLessThan(authorizationHeaderBytesMax / 4);
  });

  test("is a JWS that jose verifies, with a header of three names", async () => {
    const token = (await make()).slice("Mercury ".length);
    const { protectedHeader } = await jose.compactVerify(token, keys.header, { algorithms: ["HS256"] });
    expect(protectedHeader).toEqual({ alg: "HS256", kid: request.kid, typ: "mercury-authorization" });
  });

  test("carries no continuity value before the first, and another jti each time", async () => {
    const all = await Promise.all([1, 2, 3].map(() => make({ continuity: null })));
    const claims = all.map((header) => readAuthorizationUnverified(header).claims);
    expect(claims.map(({ continuity }) => continuity)).toEqual([null, null, null]);
    expect(new Set(claims.map(({ jti }) => jti)).size).toBe(3);
  });

  test("under another key, or the one for answers, is refused", async () => {
    const header = await make();
    for (const key of [keys.answer, systemRandom(32), new Uint8Array(32)])
      await expectFault(verifyAuthorization(suite, { header: key }, header, checks), "authorization_invalid");
    const shared = await (await suite.agreementKey(stranger.secrets.x25519)).agree(perAgent.publicKey);
    const theirs = await headerKeys(suite, shared, stranger.identity.last.x25519, perAgent.publicKey);
    const inMyName = await makeAuthorization(suite, systemRandom, theirs, request);
    await expectFault(verifyAuthorization(suite, keys, inMyName, checks), "authorization_invalid");
  });

  test("its MAC is looked at before audience and time", async () => {
    const wrong = await make({ aud: "wss://elsewhere.example", now: now - 86_400_000 });
    await expectFault(verifyAuthorization(suite, { header: keys.answer }, wrong, checks), "authorization_invalid");
    await expectFault(verifyAuthorization(suite, keys, wrong, checks), "audience");
  });

  test("for another gateway is refused", async () => {
    for (const aud of [
      "wss://gateway.example/",
      "wss://gateway.example.evil",
      "https://gateway.example",
      "WSS://gateway.example",
    ])
      await expectFault(verifyAuthorization(suite, keys, await make({ aud }), checks), "audience");
    await expectFault(verifyAuthorization(suite, keys, await make(), { ...checks, origins: [] }), "audience");
  });

  test("from another time is told to be one of the clock", async () => {
    const header = await make();
    const at = (time: number) => verifyAuthorization(suite, keys, header, { ...checks, now: time });
    await at(now + headerLifeMs + clockLeewayMs - 1);
    await expectFault(at(now + headerLifeMs + clockLeewayMs), "clock");
    await at(now - clockLeewayMs);
    await expectFault(at(now - clockLeewayMs - 1_000), "clock");
    await expectFault(at(now + 86_400_000), "clock");
  });

  test("is out of date once its jti may be forgotten", async () => {
    const { claims } = readAuthorizationUnverified(await make());
    const until = rememberAuthorizationUntil(claims);
    checkAuthorizationTime(claims, until - 1);
    await expectFault(() => checkAuthorizationTime(claims, until), "clock");
  });

  test("that lives longer than 60 s, or ends before it begins, is refused", async () => {
    for (const exp of [iat + 61, iat, iat - 1, 253_402_300_799])
      await expectFault(
        verifyAuthorization(suite, keys, await forged({ claims: { exp } }), checks),
        "authorization_invalid",
      );
  });

  test.each([
    ["alg none", { header: { alg: "none" } }],
    ["HS512", { header: { alg: "HS512" } }],
    ["EdDSA", { header: { alg: "EdDSA" } }],
    ["the typ of a statement", { header: { typ: "mercury-credential" } }],
    ["no typ", { header: { typ: undefined } }],
    ["no kid", { header: { kid: undefined } }],
    ["crit", { header: { crit: ["exp"] } }],
    ["an unknown header", { header: { x5u: "https://other.example" } }],
    ["no jti", { claims: { jti: undefined } }],
    ["a long jti", { claims: { jti: "a".repeat(65) } }],
    ["no sub", { claims: { sub: undefined } }],
    ["a sub that is no identifier", { claims: { sub: "agent-1" } }],
    ["several audiences", { claims: { aud: [origin] } }],
    ["slot 2", { claims: { slot: 2 } }],
    ["no slot", { claims: { slot: undefined } }],
    ["no continuity", { claims: { continuity: undefined } }],
    ["a continuity value that is no base64url", { claims: { continuity: "a" } }],
    ["a long continuity value", { claims: { continuity: "A".repeat(88) } }],
    ["a claim too many", { claims: { admin: true } }],
    ["a time with a fraction", { claims: { iat: iat + 0.5 } }],
  ])("with %s is not of the form, which Nexus sees", async (_, change) => {
    await expectFault(async () => readAuthorizationUnverified(await forged(change)), "authorization_invalid");
  });

  test("of another scheme or size is refused", async () => {
    const header = await make();
    for (const other of [
      header.slice(8),
      `mercury ${header.slice(8)}`,
      `Bearer ${header.slice(8)}`,
      `Mercury  ${header.slice(8)}`,
      "",
    ])
      await expectFault(() => readAuthorizationUnverified(other), "authorization_invalid");
    await expectFault(
      () => readAuthorizationUnverified("Mercury ".padEnd(authorizationHeaderBytesMax + 1, "A")),
      "too_large",
    );
  });

  test("with any byte turned is refused", async () => {
    const parts = (await make()).slice(8).split(".");
    for (const [index, part] of parts.entries()) {
      const bytes = fromBase64url(part) ?? new Uint8Array(0);
      for (let at = 0; at < bytes.length; at++) {
        const changed = `Mercury ${parts.with(index, base64url(withBitTurned(bytes, at, at % 8))).join(".")}`;
        await expectFault(verifyAuthorization(suite, keys, changed, checks), "authorization_invalid");
      }
    }
  });

  test("binds its session by the SHA-256 of its token", async () => {
    const header = await make();
    const { token } = readAuthorizationUnverified(header);
    const expected = hex(await suite.sha256(utf8(token)));
    expect(hex(await authorizationBinding(suite, header))).toBe(expected);
    expect(hex(await authorizationBinding(suite, token))).toBe(expected);
  });

  test("may be judged step by step", async () => {
    const read = readAuthorizationUnverified(await make());
    await verifyAuthorizationMac(suite, keys, read);
    const turned = { signed: read.signed, mac: withBitTurned(read.mac, 31) };
    await expectFault(verifyAuthorizationMac(suite, keys, turned), "authorization_invalid");
  });
});

describe("an answer", () => {
  const answer = { code: "clock", jti: "jti-1", timeMs: now, retryAfterMs: 1_500 } as const;

  test("says code, time and when to come again", async () => {
    expect(await verifyAnswer(suite, keys, await makeAnswer(suite, keys, answer), { jti: "jti-1" })).toEqual(answer);
    const without = { ...answer, retryAfterMs: null };
    expect(await verifyAnswer(suite, keys, await makeAnswer(suite, keys, without), { jti: "jti-1" })).toEqual(without);
  });

  test("to another opening is refused", async () => {
    const bytes = await makeAnswer(suite, keys, answer);
    await expectFault(verifyAnswer(suite, keys, bytes, { jti: "jti-2" }), "authorization_invalid");
  });

  test("that Nexus made, or that was changed anywhere, is refused", async () => {
    const bytes = await makeAnswer(suite, keys, answer);
    const withHeaderKey = await makeAnswer(suite, { answer: keys.header }, answer);
    for (const other of [withHeaderKey, new Uint8Array(0), new Uint8Array(31), bytes.subarray(32)])
      await expectFault(verifyAnswer(suite, keys, other, { jti: "jti-1" }), "authorization_invalid");
    for (let index = 0; index < bytes.length; index++) {
      const turned = verifyAnswer(suite, keys, withBitTurned(bytes, index, index % 8), { jti: "jti-1" });
      await expectFault(turned, "authorization_invalid");
      await expectFault(verifyAnswer(suite, keys, bytes.subarray(0, index), { jti: "jti-1" }), "authorization_invalid");
    }
    await expectFault(verifyAnswer(suite, keys, new Uint8Array(513), { jti: "jti-1" }), "too_large");
  });

  test("with a code from a newer version is a refusal all the same", async () => {
    const bytes = await makeAnswer(suite, keys, { ...answer, code: "something_new" as "clock" });
    expect(await verifyAnswer(suite, keys, bytes, { jti: "jti-1" })).toMatchObject({ code: "forbidden", timeMs: now });
  });

  test("with a code that is none can't be made", async () => {
    expect(await caught(makeAnswer(suite, keys, { ...answer, code: "No Code" as "clock" }))).toBeDefined();
  });
});
