import { describe, expect, test } from "bun:test";
import { hex } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { isExtension, verifyIdentity } from "#lib/identity";
import { clockLeewayMs, identityChangesMax } from "#lib/limits";
import { expectFault } from "#support/faults";
import { begin, chainOf, day, goodChain } from "./forge.ts";

const now = begin + 10 * day;

describe.each([webSuite, nobleSuite])("a chain as PROTOCOL §1 has it", (suite) => {
  test("is read: identifier, changes, last", async () => {
    const { links, keys } = await goodChain(3);
    const identity = await verifyIdentity(suite, chainOf(...links), { now });
    const hashes = await Promise.all(links.map(async ({ change }) => hex(await suite.sha256(change))));
    expect(identity.identifier).toBe(`I${hashes[0]}`);
    expect(identity.changes.map(({ hash }) => hash)).toEqual(hashes);
    expect(identity.last).toMatchObject({
      hash: hashes[2] ?? "",
      previous: hashes[1] ?? "",
      createdMs: begin + 2 * day,
    });
    expect(hex(identity.last.ed25519)).toBe(hex(keys[2]?.signing.publicKey ?? new Uint8Array(0)));
    expect(hex(identity.last.x25519)).toBe(hex(keys[2]?.x25519 ?? new Uint8Array(0)));
  });
});

test("the identifier never changes with the chain", async () => {
  const { links } = await goodChain(2);
  const [short, long] = await Promise.all([
    verifyIdentity(webSuite, chainOf(...links.slice(0, 1)), { now }),
    verifyIdentity(webSuite, chainOf(...links), { now }),
  ]);
  expect(long.identifier).toBe(short.identifier);
  expect([isExtension(long, short), isExtension(long, long), isExtension(short, long)]).toEqual([true, true, false]);
});

test("what was passed in may be changed while signatures are checked", async () => {
  const { links } = await goodChain(2);
  const chain = chainOf(...links);
  const pending = verifyIdentity(webSuite, chain, { now });
  chain.fill(0);
  expect(hex((await pending).chain)).toBe(hex(chainOf(...links)));
});

test("a chain of 64 changes is read, one of 65 is not", async () => {
  const { links } = await goodChain(identityChangesMax + 1);
  const late = begin + 100 * day;
  const most = await verifyIdentity(webSuite, chainOf(...links.slice(0, -1)), { now: late });
  expect(most.changes).toHaveLength(64);
  await expectFault(verifyIdentity(webSuite, chainOf(...links), { now: late }), "identity_invalid");
});

test("only the last change must be in date, give or take the leeway", async () => {
  const { links } = await goodChain(2);
  const chain = chainOf(...links);
  const ends = begin + day + 365 * day;
  await verifyIdentity(webSuite, chain, { now: ends - day / 2 }); // the first is out of date by then
  await verifyIdentity(webSuite, chain, { now: ends + clockLeewayMs - 1 });
  await expectFault(verifyIdentity(webSuite, chain, { now: ends + clockLeewayMs }), "identity_expired");
  await verifyIdentity(webSuite, chain, { now: begin + day - clockLeewayMs });
  await expectFault(verifyIdentity(webSuite, chain, { now: begin + day - clockLeewayMs - 1 }), "clock");
  await verifyIdentity(webSuite, chain, { now: "any time" });
});

test("another identity than the one expected is refused", async () => {
  const [mine, other] = [await goodChain(1), await goodChain(1)];
  const { identifier } = await verifyIdentity(webSuite, chainOf(...mine.links), { now });
  await verifyIdentity(webSuite, chainOf(...mine.links), { now, expected: identifier });
  const substituted = verifyIdentity(webSuite, chainOf(...other.links), { now, expected: identifier });
  await expectFault(substituted, "identity_unexpected");
});
