import { describe, expect, test } from "bun:test";
import { base64url, encodeCbor, fromBase64url } from "#lib/bytes";
import { nodeKeys, recipientOf, seal } from "#lib/identity";
import { enrollmentBodyBytesMax } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import {
  type EnrollmentClaims,
  enrollmentSecretHash,
  enrollmentSigningBytes,
  makeEnrollmentRequest,
  openEnrollmentRequest,
  signCredential,
  signEnrollment,
  unsealedText,
  verifyEnrollment,
} from "#lib/statement";
import { expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";
import {
  agent,
  authority,
  credential,
  day,
  enrollment,
  iat,
  now,
  party,
  rotated,
  solarisKey,
  stranger,
  suite,
} from "./world.ts";

const token = { tokenId: "token-1", secret: systemRandom(32) };
const host = { version: "1.0.0", platform: "linux-x64", hostname: "erp-01" };
const agentKeys = await nodeKeys(suite, agent.secrets, agent.identity);
const strangerKeys = await nodeKeys(suite, stranger.secrets, stranger.identity);
const authorityKeys = await nodeKeys(suite, authority.secrets, authority.identity);

const request = (keys = agentKeys, at = authority.identity) =>
  makeEnrollmentRequest(suite, systemRandom, { token, authority: at, keys, host });
const open = (jwe: string, by = authorityKeys, at = authority.identity) =>
  openEnrollmentRequest(suite, by.unseal, jwe, { authority: at, now });

/** A request of one's own making, sealed as it should be. */
async function forged(over: Record<string, unknown>): Promise<string> {
  const signature = await agentKeys.sign(enrollmentSigningBytes(token.tokenId, authority.identity));
  const content = { version: 1, ...token, identity: agent.chain, host, signature, ...over };
  return await seal(suite, systemRandom, recipientOf(authority.identity), encodeCbor(content as never));
}

describe("a request to enroll", () => {
  test("is opened by Solaris: token, identity, host", async () => {
    const opened = await open(await request());
    expect(opened).toEqual({
      tokenId: token.tokenId,
      secretHash: await enrollmentSecretHash(suite, token.secret),
      identity: agent.identity,
      host,
    });
  });

  test("is of no use to whoever passes it on", async () => {
    const jwe = await request();
    await expectFault(open(jwe, strangerKeys), "crypto");
    for (const secret of [token.secret, agent.chain]) expect(jwe).not.toContain(base64url(secret));
    const middle = Math.floor(jwe.length / 2);
    await expectFault(open(jwe.slice(0, middle) + (jwe[middle] === "A" ? "B" : "A") + jwe.slice(middle + 1)), "crypto");
  });

  test("with substituted keys is refused: the signature is by the chain's last key, for this token and authority", async () => {
    await open(await forged({}));
    await expectFault(open(await forged({ identity: stranger.chain })), "crypto");
    await expectFault(open(await forged({ tokenId: "token-2" })), "crypto");
    for (const [id, at] of [
      ["token-2", authority.identity],
      [token.tokenId, stranger.identity],
      [token.tokenId, (await rotated(authority, now)).identity],
    ] as const)
      await expectFault(
        open(await forged({ signature: await agentKeys.sign(enrollmentSigningBytes(id, at)) })),
        "crypto",
      );
    const newer = await rotated(agent, now);
    await expectFault(open(await forged({ identity: newer.chain })), "crypto");
  });

  test("sealed and signed for a former change of the authority is refused after its rotation", async () => {
    const newer = await rotated(authority, now);
    const newerKeys = await nodeKeys(suite, newer.secrets, newer.identity); // still opens what was sealed before
    await expectFault(open(await request(), newerKeys, newer.identity), "crypto");
    await open(await request(agentKeys, newer.identity), newerKeys, newer.identity);
  });

  test("of another form is refused without showing the secret", async () => {
    for (const over of [
      { version: 2 },
      { more: 1 },
      { secret: new Uint8Array(31) },
      { signature: new Uint8Array(63) },
      { host: { ...host, hostname: "x".repeat(256) } },
      { host: "erp-01" },
      { tokenId: "" },
    ])
      expect((await expectFault(open(await forged(over)), "malformed")).cause).toBeUndefined();
    const noCbor = await seal(suite, systemRandom, recipientOf(authority.identity), "{}");
    await expectFault(open(noCbor), "malformed");
    await expectFault(open("x".repeat(enrollmentBodyBytesMax + 1)), "too_large");
    await expectFault(open("x"), "malformed");
  });

  test("with a chain that does not verify is refused", async () => {
    await expectFault(open(await forged({ identity: withBitTurned(agent.chain, 100) })), "identity_invalid");
  });
});

describe("the answer to an enrollment", () => {
  const verify = (jws: string, over: Partial<Parameters<typeof verifyEnrollment>[2]> = {}) =>
    verifyEnrollment(suite, jws, {
      authority: authority.identity,
      tokenId: "token-1",
      subject: agent.identity,
      now,
      ...over,
    });
  const answer = async (over: Partial<EnrollmentClaims> = {}, by = authority) =>
    signEnrollment(by.signer, await enrollment(over));

  test("gives the agent its id, its Solaris key and a credential that holds", async () => {
    const jws = await answer();
    const sealed = await seal(suite, systemRandom, recipientOf(agent.identity), jws);
    const verified = await verify(unsealedText(await agentKeys.unseal(sealed)));
    expect(verified).toMatchObject({ agentId: "a1", solarisKey, authority: authority.identity });
    expect(verified.credential.sub).toBe(agent.identity.identifier);
    await expectFault(strangerKeys.unseal(sealed), "crypto");
  });

  test("for another token, agent or time is refused", async () => {
    await expectFault(verify(await answer(), { tokenId: "token-2" }), "statement_invalid");
    await expectFault(verify(await answer({ sub: stranger.identity.identifier })), "statement_invalid");
    await expectFault(verify(await answer({ iat: iat + 3_600 })), "clock");
  });

  test("by whoever sits between is refused, with its own authority too", async () => {
    await expectFault(verify(await answer({}, stranger)), "statement_invalid");
    const ownCloud = await answer({ authority: base64url(stranger.chain) }, stranger);
    await expectFault(verify(ownCloud), "identity_unexpected");
    const ownKey = (await answer()).split(".");
    const claims = await enrollment({ solarisKey: base64url(stranger.identity.last.x25519) });
    ownKey[1] = base64url(new TextEncoder().encode(JSON.stringify(claims)));
    await expectFault(verify(ownKey.join(".")), "statement_invalid");
  });

  test("with a credential that is not the agent's is refused", async () => {
    const theirs = { sub: stranger.identity.identifier, cnf: stranger.identity.last.hash };
    for (const claims of [theirs, { cnf: stranger.identity.last.hash }])
      await expectFault(
        verify(await answer({ credential: await signCredential(authority.signer, credential(claims)) })),
        "credential_invalid",
      );
    const forgedCredential = await signCredential(stranger.signer, credential());
    await expectFault(verify(await answer({ credential: forgedCredential })), "statement_invalid");
  });

  test("brings a rotated authority, which then counts", async () => {
    const newer = await rotated(authority, now - 1_000);
    const claims = {
      authority: base64url(newer.chain),
      credential: await signCredential(newer.signer, credential()),
    };
    const verified = await verify(await answer(claims, newer));
    expect(verified.authority.changes).toHaveLength(2);
    await expectFault(verify(await answer(claims)), "statement_stale"); // signed by the key before
  });

  test("with a fork of the authority is refused", async () => {
    const [newer, fork] = [await rotated(authority, now - day / 2), await rotated(authority, now - 1_000)];
    const claims = { authority: base64url(fork.chain), credential: await signCredential(fork.signer, credential()) };
    await expectFault(verify(await answer(claims, fork), { authority: newer.identity }), "identity_invalid");
  });

  test("of another form is refused", async () => {
    const broken = base64url(withBitTurned(authority.chain, 50));
    await expectFault(verify(await answer({ authority: broken })), "identity_invalid");
    const own = await party(agent);
    const agentSigned = await signEnrollment(own.signer, await enrollment());
    await expectFault(verify(agentSigned), "statement_invalid");
    expect(fromBase64url(broken)).toBeDefined();
  });
});
