import { expect, test } from "bun:test";
import fc from "fast-check";
import { encodeCbor } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { decodeSecrets, makeUnseal, sealedKid, verifyIdentity } from "#lib/identity";
import { chainOf, goodChain } from "./forge.ts";

const { links } = await goodChain(2);
const good = chainOf(...links);

/** Bytes of any kind: random, CBOR of random values, a good chain with a piece replaced. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.object({ values: [fc.integer(), fc.uint8Array(), fc.string()] }).map((value) => encodeCbor(value as never)),
  fc
    .tuple(fc.nat(good.length), fc.nat(20), fc.uint8Array({ maxLength: 20 }))
    .map(([at, drop, piece]) => Uint8Array.of(...good.subarray(0, at), ...piece, ...good.subarray(at + drop))),
);

/** Passes when `work` gives a value or throws a Fault. */
async function faultOnly(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

test("a chain of any bytes is read or refused with a Fault", async () => {
  await fc.assert(
    fc.asyncProperty(bytes, (any) => faultOnly(() => verifyIdentity(webSuite, any, { now: "any time" }))),
    { numRuns: 500 },
  );
});

test("secrets of any bytes are read or refused with a Fault", async () => {
  await fc.assert(fc.asyncProperty(bytes, (any) => faultOnly(() => decodeSecrets(any))));
});

test("a sealed text of any form is refused with a Fault", async () => {
  const part = fc.oneof(
    fc.base64String(),
    fc.string(),
    fc.constant(""),
    fc.json().map((json) => btoa(encodeURI(json))),
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(part, { minLength: 4, maxLength: 6 }).map((parts) => parts.join(".")),
  );
  const unseal = makeUnseal(webSuite, () => undefined);
  await fc.assert(
    fc.asyncProperty(text, async (any) => {
      await faultOnly(() => unseal(any));
      await faultOnly(() => sealedKid(any));
    }),
  );
});

test("what nests too deep is refused with a Fault", async () => {
  const deep = new Uint8Array(60_000).fill(0x81);
  await faultOnly(() => verifyIdentity(webSuite, deep, { now: "any time" }));
  await faultOnly(() => decodeSecrets(deep));
  expect(deep[0]).toBe(0x81);
});
