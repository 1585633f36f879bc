import { describe, expect, test } from "bun:test";
import { base64url, concat, encodeCbor, utf8 } from "#lib/bytes";
import { recipientOf, seal } from "#lib/identity";
import { bodyBytesMax, sealedBytesMax, sessionMessageBytesMax } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import { type MessageClaims, signMessage, verifyMessage } from "#lib/statement";
import { caught, expectFault } from "#support/faults";
import { agent, authority, day, message, now, rotated, stranger, suite } from "./world.ts";

const place = { recipient: agent.identity.identifier, agent: "a1", plugin: "erp", direction: "down" } as const;
const verify = (jws: string, over: Partial<Parameters<typeof verifyMessage>[2]> = {}) =>
  verifyMessage(suite, jws, { sender: authority.identity, place, now, ...over });
const sign = (over: Partial<MessageClaims> = {}, by = authority) => signMessage(by.signer, message(over));

describe("a sealed message", () => {
  test("says what was signed, however long it waited", async () => {
    const claims = message();
    const jws = await signMessage(authority.signer, claims);
    expect(await verify(jws)).toEqual(claims);
    expect(await verify(jws, { now: now + 30 * day })).toEqual(claims);
  });

  test("of the largest body fits a session message when sealed", async () => {
    const meta = Object.fromEntries(
      Array.from({ length: 16 }, (_, index) => [`${index}`.padEnd(32, "n"), "v".repeat(256)]),
    );
    const jws = await sign({ body: new Uint8Array(bodyBytesMax), meta });
    const sealed = await seal(suite, systemRandom, recipientOf(agent.identity), jws);
    expect(sealed.length).toBeLessThan(sealedBytesMax);
    expect(sealedBytesMax).toBeLessThan(sessionMessageBytesMax);
    expect((await verify(jws)).body).toHaveLength(bodyBytesMax);
    expect(await caught(sign({ body: new Uint8Array(bodyBytesMax + 1) }))).toBeInstanceOf(TypeError);
  });

  test("has one form: the same claims in other CBOR are refused, even when signed", async () => {
    const body = utf8("body");
    const payload = encodeCbor(message({ body, meta: {} }));
    const header = base64url(utf8(JSON.stringify({ alg: "EdDSA", kid: authority.signer.kid, typ: "mercury-message" })));
    const signedAs = async (bytes: Uint8Array) => {
      const signed = `${header}.${base64url(bytes)}`;
      return `${signed}.${base64url(await authority.signer.sign(utf8(signed)))}`;
    };
    await verify(await signedAs(payload));
    const first = concat(Uint8Array.of(0x62), utf8("id")); // the shortest name comes first
    expect(payload.subarray(1, 4)).toEqual(first);
    const rest = payload.subarray(4 + 2 + 32); // two bytes of length, 32 characters
    const reordered = concat(payload.subarray(0, 1), rest, payload.subarray(1, 4 + 2 + 32));
    await expectFault(verify(await signedAs(reordered)), "statement_invalid");
    await expectFault(verify(await signedAs(concat(payload, Uint8Array.of(0)))), "statement_invalid");
  });

  test.each([
    ["agent", "a2", "wrong_agent"],
    ["plugin", "other", "unknown_plugin"],
    ["direction", "up", "statement_invalid"],
    ["sub", stranger.identity.identifier, "statement_invalid"],
    ["iss", stranger.identity.identifier, "statement_invalid"],
  ] as const)("that belongs to another %s is refused where it is found", async (claim, value, code) => {
    await expectFault(verify(await sign({ [claim]: value })), code);
  });

  test("by another node of the customer is refused", async () => {
    const theirs = await sign({ iss: stranger.identity.identifier }, stranger);
    await expectFault(verify(theirs), "statement_invalid");
    await verify(theirs, { sender: stranger.identity });
  });

  test("by a key that was rotated out is refused, however it is dated", async () => {
    const up = { ...place, direction: "up", recipient: authority.identity.identifier } as const;
    const claims = { iss: agent.identity.identifier, sub: authority.identity.identifier, direction: "up" } as const;
    const old = await sign({ ...claims, iat: 1_700_000_100 }, agent);
    await verify(old, { sender: agent.identity, place: up });
    const newer = await rotated(agent, now);
    await expectFault(verify(old, { sender: newer.identity, place: up }), "statement_stale");
  });
});
