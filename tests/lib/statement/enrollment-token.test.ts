import { describe, expect, test } from "bun:test";
import { base64url, concat, encodeCbor, fromBase64url, hex } from "#lib/bytes";
import { redact } from "#lib/log";
import { systemRandom } from "#lib/runtime";
import {
  decodeEnrollmentToken,
  type EnrollmentToken,
  encodeEnrollmentToken,
  enrollmentSecretHash,
  verifyTokenAuthority,
} from "#lib/statement";
import { caught, expectFault } from "#support/faults";
import { agent, authority, day, now, rotated, stranger, suite } from "./world.ts";

const token: EnrollmentToken = {
  gateway: "https://connect.example.com",
  authority: authority.identity.identifier,
  newestChange: authority.identity.last.hash,
  tokenId: "tok_1",
  secret: systemRandom(32),
};
const text = await encodeEnrollmentToken(suite, token);

/** A text with this content and a checksum that fits. */
async function forged(content: Parameters<typeof encodeCbor>[0]): Promise<string> {
  const body = encodeCbor(content);
  return `mercury_${base64url(concat(body, (await suite.sha256(body)).subarray(0, 8)))}`;
}

const raw = (over: Record<string, string | number | Uint8Array> = {}) => ({ version: 1, ...token, ...over });

describe("an enrollment token", () => {
  test("comes back as it was, with white space around it too", async () => {
    expect(await decodeEnrollmentToken(suite, text)).toEqual(token);
    expect(await decodeEnrollmentToken(suite, `  ${text}\r\n`)).toEqual(token);
    expect(await decodeEnrollmentToken(suite, await forged(raw()))).toEqual(token);
  });

  test("is one word that a log redacts", () => {
    expect(text).toMatch(/^mercury_[A-Za-z0-9_-]{100,500}$/);
    expect(redact(`enrolling with ${text} now`)).toBe("enrolling with ‹redacted› now");
  });

  test("cut off anywhere says so", async () => {
    for (let length = "mercury_".length; length < text.length; length++)
      await expectFault(decodeEnrollmentToken(suite, text.slice(0, length)), "token_damaged");
  });

  test("with one character changed, lost or doubled says so", async () => {
    for (let index = "mercury_".length; index < text.length; index += 3) {
      const [before, at, after] = [text.slice(0, index), text[index] ?? "", text.slice(index + 1)];
      for (const other of [
        at === "A" ? "B" : "A",
        "",
        at + at,
        at.toUpperCase() === at ? at.toLowerCase() : at.toUpperCase(),
        "\n",
      ])
        if (before + other + after !== text)
          await expectFault(decodeEnrollmentToken(suite, before + other + after), "token_damaged");
    }
  });

  test("that is something else is told from a damaged one", async () => {
    for (const other of ["", "hello", "solaris_abc", text.slice(1), `x${text}`])
      await expectFault(decodeEnrollmentToken(suite, other), "token_invalid");
  });

  test.each([
    ["another version", raw({ version: 2 })],
    ["a short secret", raw({ secret: new Uint8Array(31) })],
    ["an authority that is no identifier", raw({ authority: "cloud" })],
    ["a gateway that is no address", raw({ gateway: "connect.example.com" })],
    ["a gateway of another protocol", raw({ gateway: "file:///etc/passwd" })],
    ["a gateway with a password", raw({ gateway: "https://a:b@connect.example.com" })],
    ["a gateway with a query", raw({ gateway: "https://connect.example.com/?x=1" })],
    ["a name too many", raw({ more: 1 })],
    ["a list", [1, "https://connect.example.com"]],
  ])("with %s is not read, without showing its secret", async (_, content) => {
    const fault = await expectFault(decodeEnrollmentToken(suite, await forged(content)), "token_invalid");
    expect(fault.cause).toBeUndefined();
  });

  test("that is very long is refused unread", async () => {
    await expectFault(decodeEnrollmentToken(suite, "mercury_".padEnd(100_000, "A")), "token_damaged");
  });

  test("can't be made for a gateway that is none", async () => {
    expect(await caught(encodeEnrollmentToken(suite, { ...token, gateway: "here" }))).toBeDefined();
  });

  test("has a secret of which Solaris keeps a hash", async () => {
    const hash = await enrollmentSecretHash(suite, token.secret);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(hash).not.toBe(hex(await suite.sha256(token.secret)));
    expect(await enrollmentSecretHash(suite, systemRandom(32))).not.toBe(hash);
    expect(fromBase64url(text.slice("mercury_".length))).toBeDefined();
  });
});

describe("the authority that a gateway shows is", () => {
  test("the one of the token, or what it became", async () => {
    const verified = await verifyTokenAuthority(suite, token, authority.chain, now);
    expect(verified.identifier).toBe(authority.identity.identifier);
    const newer = await rotated(authority, now);
    expect((await verifyTokenAuthority(suite, token, newer.chain, now)).changes).toHaveLength(2);
  });

  test("refused when it is another cloud", async () => {
    for (const other of [stranger, agent])
      await expectFault(verifyTokenAuthority(suite, token, other.chain, now), "other_cloud");
  });

  test("refused when it is older than the token, or a fork", async () => {
    const [newer, fork] = [await rotated(authority, now), await rotated(authority, now)];
    const newToken = { ...token, newestChange: newer.identity.last.hash };
    await verifyTokenAuthority(suite, newToken, newer.chain, now);
    await expectFault(verifyTokenAuthority(suite, newToken, authority.chain, now), "other_cloud");
    await expectFault(verifyTokenAuthority(suite, newToken, fork.chain, now), "other_cloud");
  });

  test("refused out of date, from the future, or broken", async () => {
    await expectFault(verifyTokenAuthority(suite, token, authority.chain, now + 400 * day), "identity_expired");
    await expectFault(verifyTokenAuthority(suite, token, authority.chain, now - 400 * day), "clock");
    await expectFault(verifyTokenAuthority(suite, token, authority.chain.subarray(1), now), "identity_invalid");
  });
});
