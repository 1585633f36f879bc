import { describe, expect, test } from "bun:test";
import { hex, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import {
  beginIdentity,
  continueIdentity,
  createIdentity,
  decodeSecrets,
  encodeSecrets,
  extendIdentity,
  isExtension,
  nodeKeys,
  type OwnIdentity,
  recipientOf,
  seal,
  verifyIdentity,
  withoutFormer,
} from "#lib/identity";
import { formerAgreementKeysMax, identityLifeMs } from "#lib/limits";
import { systemRandom } from "#lib/runtime";
import { expectFault } from "#support/faults";
import { begin, day, newKeys } from "./forge.ts";

const create = (now = begin) => createIdentity(webSuite, systemRandom, { now });

async function rotated(own: OwnIdentity, times: number): Promise<OwnIdentity> {
  let newest = own;
  for (let round = 1; round <= times; round++)
    newest = await extendIdentity(webSuite, systemRandom, newest, { now: begin + round * day });
  return newest;
}

describe("a new identity", () => {
  test("is what its chain says, for a year", async () => {
    const { chain, identity } = await create();
    expect(await verifyIdentity(webSuite, chain, { now: begin })).toEqual(identity);
    expect(identity.last).toMatchObject({ createdMs: begin, expiresMs: begin + identityLifeMs, previous: null });
  });

  test("is another each time", async () => {
    expect((await create()).identity.identifier).not.toBe((await create()).identity.identifier);
  });

  test("signs, agrees and unseals without giving its keys away", async () => {
    const [a, b] = [await create(), await create()];
    const [mine, theirs] = [
      await nodeKeys(webSuite, a.secrets, a.identity),
      await nodeKeys(webSuite, b.secrets, b.identity),
    ];
    const message = utf8("message");
    expect(await webSuite.verify(a.identity.last.ed25519, message, await mine.sign(message))).toBe(true);
    expect(hex(await mine.agree(b.identity.last.x25519))).toBe(hex(await theirs.agree(a.identity.last.x25519)));
    const sealed = await seal(webSuite, systemRandom, recipientOf(a.identity), message);
    expect(await mine.unseal(sealed)).toEqual(message);
    await expectFault(theirs.unseal(sealed), "crypto");
    const shown = JSON.stringify(mine, (_, value) => (value instanceof Uint8Array ? hex(value) : value));
    for (const secret of [a.secrets.ed25519, a.secrets.x25519]) expect(shown).not.toContain(hex(secret));
  });

  test("does not open with the secrets of another", async () => {
    const [a, b] = [await create(), await create()];
    await expectFault(nodeKeys(webSuite, a.secrets, b.identity), "identity_invalid");
    const mixed = { ...a.secrets, x25519: b.secrets.x25519 };
    await expectFault(nodeKeys(webSuite, mixed, a.identity), "identity_invalid");
  });
});

describe("a rotation", () => {
  test("extends the chain and keeps the identifier", async () => {
    const own = await create();
    const newer = await rotated(own, 2);
    expect(newer.identity.identifier).toBe(own.identity.identifier);
    expect(newer.identity.changes).toHaveLength(3);
    expect(isExtension(newer.identity, own.identity)).toBe(true);
    await verifyIdentity(webSuite, newer.chain, { now: begin + 2 * day });
  });

  test("keeps former X25519 keys to unseal, at most four, until they are given up", async () => {
    const own = await create();
    const sealed = await seal(webSuite, systemRandom, recipientOf(own.identity), "old");
    const kept = await rotated(own, formerAgreementKeysMax);
    expect(await (await nodeKeys(webSuite, kept.secrets, kept.identity)).unseal(sealed)).toEqual(utf8("old"));
    const givenUp = await nodeKeys(webSuite, withoutFormer(kept.secrets), kept.identity);
    await expectFault(givenUp.unseal(sealed), "crypto");
    const longer = await rotated(own, formerAgreementKeysMax + 1);
    expect(longer.secrets.former).toHaveLength(formerAgreementKeysMax);
    await expectFault((await nodeKeys(webSuite, longer.secrets, longer.identity)).unseal(sealed), "crypto");
  });

  test("comes too late once the last change has expired", async () => {
    const own = await create();
    const late = { now: begin + identityLifeMs };
    await expectFault(extendIdentity(webSuite, systemRandom, own, late), "identity_expired");
  });

  test("works with a clock that went back", async () => {
    const own = await create();
    const newer = await extendIdentity(webSuite, systemRandom, own, { now: begin - day });
    expect(newer.identity.last.createdMs).toBe(begin + 1);
  });

  test("works with keys that stay elsewhere", async () => {
    const [first, second] = [await newKeys(), await newKeys()];
    const keysOf = ({ signing, x25519 }: typeof first) => ({
      ed25519: signing.publicKey,
      x25519,
      sign: (message: Uint8Array) => signing.sign(message),
    });
    const identity = await beginIdentity(webSuite, keysOf(first), { now: begin });
    const longer = await continueIdentity(webSuite, identity, keysOf(first), keysOf(second), { now: begin + day });
    expect(isExtension(longer, identity)).toBe(true);
    const other = continueIdentity(webSuite, identity, keysOf(second), keysOf(second), { now: begin + day });
    await expectFault(other, "identity_invalid");
  });
});

describe("secrets", () => {
  test("come back from the store as they were", async () => {
    const { secrets } = await rotated(await create(), 2);
    expect(decodeSecrets(encodeSecrets(secrets))).toEqual(secrets);
  });

  test("that are cut off or changed in form are refused without showing them", async () => {
    const { secrets } = await create();
    const bytes = encodeSecrets(secrets);
    for (let length = 0; length < bytes.length; length++) {
      const fault = await expectFault(() => decodeSecrets(bytes.subarray(0, length)), "malformed");
      expect(fault.cause).toBeUndefined();
    }
  });
});
