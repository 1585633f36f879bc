import { describe, expect, test } from "bun:test";
import { type Bytes, concat, encodeCbor, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { isExtension, verifyIdentity } from "#lib/identity";
import { identityChainBytesMax } from "#lib/limits";
import { caught, expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";
import {
  begin,
  type Content,
  chainOf,
  content,
  day,
  type ForgedKeys,
  type ForgedLink,
  goodChain,
  newKeys,
  signed,
} from "./forge.ts";

const now = begin + 10 * day;

async function two() {
  const { links, keys } = await goodChain(2);
  const [first, second] = links;
  const [mine, next] = keys;
  if (first === undefined || second === undefined || mine === undefined || next === undefined) throw new TypeError();
  return { first, second, mine, next, hash: await webSuite.sha256(first.change) };
}

/** A second change that says something else, signed as it must be. */
async function otherwise(over: Content, created = begin + day): Promise<Bytes> {
  const { first, mine, hash } = await two();
  const next = await newKeys();
  return chainOf(first, await signed(encodeCbor(content(next, hash, created, over)), next, mine));
}

async function alone(over: Content): Promise<Bytes> {
  const keys = await newKeys();
  return chainOf(await signed(encodeCbor(content(keys, null, begin, over)), keys));
}

async function withSignatures(make: (own: Uint8Array, before: Uint8Array) => Uint8Array[]): Promise<Bytes> {
  const { first, second } = await two();
  const [own, before] = second.signatures;
  if (own === undefined || before === undefined) throw new TypeError();
  return chainOf(first, { change: second.change, signatures: make(own, before) });
}

async function signedOver(prefix: string): Promise<Bytes> {
  const keys = await newKeys();
  const change = encodeCbor(content(keys, null, begin));
  return chainOf({ change, signatures: [await keys.signing.sign(concat(utf8(prefix), change))] });
}

async function reusing(which: (mine: ForgedKeys, fresh: ForgedKeys) => ForgedKeys): Promise<Bytes> {
  const { first, mine, hash } = await two();
  const keys = which(mine, await newKeys());
  return chainOf(first, await signed(encodeCbor(content(keys, hash, begin + day)), keys, mine));
}

const forged: readonly (readonly [string, () => Promise<Bytes>])[] = [
  ["no change", async () => chainOf()],
  ["signatures swapped", () => withSignatures((own, before) => [before, own])],
  ["own signature alone", () => withSignatures((own) => [own])],
  ["the one before alone", () => withSignatures((_own, before) => [before])],
  ["own signature twice", () => withSignatures((own) => [own, own])],
  ["three signatures", () => withSignatures((own, before) => [own, before, before])],
  ["no signature", () => withSignatures(() => [])],
  [
    "two signatures on the first change",
    async () => {
      const keys = await newKeys();
      return chainOf(await signed(encodeCbor(content(keys, null, begin)), keys, keys));
    },
  ],
  ["a signature cut off", () => withSignatures((own, before) => [own, before.subarray(0, 63)])],
  ["another prefix", () => signedOver("mercury/1 identity chang")],
  ["no prefix", () => signedOver("")],
  [
    "a rotation by whoever has the new key only",
    async () => {
      const { first, hash } = await two();
      const thief = await newKeys();
      return chainOf(first, await signed(encodeCbor(content(thief, hash, begin + day)), thief, thief));
    },
  ],
  [
    "a rotation that the new key did not sign",
    async () => {
      const { first, mine, hash } = await two();
      return chainOf(first, await signed(encodeCbor(content(await newKeys(), hash, begin + day)), mine, mine));
    },
  ],
  ["changes in another order", async () => chainOf(...(await goodChain(3)).links.toReversed())],
  ["the first one missing", async () => chainOf(...(await goodChain(3)).links.slice(1))],
  ["one in the middle missing", async () => chainOf(...(await goodChain(3)).links.filter((_, index) => index !== 1))],
  [
    "the same one twice",
    async () => {
      const { first, second } = await two();
      return chainOf(first, second, second);
    },
  ],
  ["a first change that follows another", () => alone({ previous: new Uint8Array(32) })],
  ["a second change that follows none", () => otherwise({ previous: null })],
  ["created with the one before", () => otherwise({}, begin)],
  ["created before the one before", () => otherwise({}, begin - 1)],
  ["created when the one before expired", () => otherwise({}, begin + 365 * day)],
  ["expires when it begins", () => alone({ expires: begin })],
  ["both keys of the one before", () => reusing((mine) => mine)],
  ["its Ed25519 key", () => reusing((mine, fresh) => ({ ...fresh, signing: mine.signing }))],
  ["its X25519 key", () => reusing((mine, fresh) => ({ ...fresh, x25519: mine.x25519 }))],
  ["another type", () => alone({ type: "mercury-credential" })],
  ["another version", () => alone({ version: 2 })],
  ["a name too many", () => alone({ note: "" })],
  ["a short Ed25519 key", () => alone({ ed25519: new Uint8Array(31) })],
  ["a long X25519 key", () => alone({ x25519: new Uint8Array(33) })],
  ["a time that is text", () => alone({ created: "1" })],
  ["a time before 1970", () => alone({ created: -1 })],
  ["a short hash", () => otherwise({ previous: new Uint8Array(31) })],
];

describe("a chain is refused that has", () => {
  test.each(forged)("%s", async (_, make) => {
    await expectFault(verifyIdentity(webSuite, await make(), { now: "any time" }), "identity_invalid");
  });

  test("no name left out", async () => {
    const keys = await newKeys();
    for (const name of Object.keys(content(keys, null, begin))) {
      const { [name]: _, ...rest } = content(keys, null, begin);
      const chain = chainOf(await signed(encodeCbor(rest), keys));
      await expectFault(verifyIdentity(webSuite, chain, { now }), "identity_invalid");
    }
  });

  test("more than 64 KiB", async () => {
    await expectFault(verifyIdentity(webSuite, new Uint8Array(identityChainBytesMax + 1), { now }), "too_large");
  });
});

test("a change has one form: the same content in other CBOR is refused, even when signed", async () => {
  const keys = await newKeys();
  const change = encodeCbor(content(keys, null, begin));
  const lengthByte = change[0] ?? 0;
  const variants = [
    Uint8Array.of(...change, 0), // something after it
    concat(Uint8Array.of(0xb8, lengthByte & 0x1f), change.subarray(1)), // length not in its shortest form
    concat(Uint8Array.of(0xbf), change.subarray(1), Uint8Array.of(0xff)), // indefinite length
    reordered(change),
  ];
  for (const variant of variants) {
    const chain = chainOf(await signed(variant, keys));
    await expectFault(verifyIdentity(webSuite, chain, { now }), "identity_invalid");
  }
});

test("a chain has one form as well", async () => {
  const chain = chainOf(...(await goodChain(1)).links);
  for (const variant of [
    concat(chain, Uint8Array.of(0)),
    concat(Uint8Array.of(0x98, 1), chain.subarray(1)),
    concat(Uint8Array.of(0x9f), chain.subarray(1), Uint8Array.of(0xff)),
    reorderedLink(chain),
  ])
    await expectFault(verifyIdentity(webSuite, variant, { now }), "identity_invalid");
});

/** A list of one link whose two names are exchanged. */
function reorderedLink(chain: Uint8Array): Bytes {
  const at = Buffer.from(chain).indexOf("signatures") - 1;
  return concat(chain.subarray(0, 2), chain.subarray(at), chain.subarray(2, at));
}

/** The map with its first two entries exchanged: what a decoder takes that does not look at the order of names. */
function reordered(change: Uint8Array): Bytes {
  const type = concat(Uint8Array.of(0x64), utf8("type"), Uint8Array.of(0x70), utf8("mercury-identity"));
  const rest = change.subarray(1);
  expect(rest.subarray(0, type.length)).toEqual(type);
  return concat(change.subarray(0, 1), rest.subarray(type.length), type);
}

test("a turned bit anywhere, or an end anywhere, ends in a Fault", async () => {
  const { links } = await goodChain(2);
  const chain = chainOf(...links);
  for (let index = 0; index < chain.length; index++) {
    for (const broken of [withBitTurned(chain, index, index % 8), chain.slice(0, index)]) {
      const error = await caught(verifyIdentity(webSuite, broken, { now }));
      expect(error).toBeInstanceOf(Fault);
    }
  }
});

test("two chains that part are no extension of one another", async () => {
  const { first, second, mine, hash } = await two();
  const fork = await newKeys();
  const forkLink: ForgedLink = await signed(encodeCbor(content(fork, hash, begin + 2 * day)), fork, mine);
  const [mainIdentity, forkIdentity] = [
    await verifyIdentity(webSuite, chainOf(first, second), { now }),
    await verifyIdentity(webSuite, chainOf(first, forkLink), { now }), // by itself it is valid
  ];
  expect(forkIdentity.identifier).toBe(mainIdentity.identifier);
  expect(isExtension(forkIdentity, mainIdentity)).toBe(false);
  expect(isExtension(mainIdentity, forkIdentity)).toBe(false);
});
