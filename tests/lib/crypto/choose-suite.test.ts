import { expect, test } from "bun:test";
import { type CryptoSuite, chooseSuite, nobleSuite, webSuite } from "#lib/crypto";
import { expectFault } from "#support/faults";

test("Web Crypto is chosen where it can do everything, as it can here", async () => {
  expect((await chooseSuite()).name).toBe("web");
});

test("noble alone is a whole suite", async () => {
  expect(await chooseSuite([nobleSuite])).toBe(nobleSuite);
});

/** One way each in which a runtime could fall short. */
const shortcomings: Record<string, Partial<CryptoSuite>> = {
  "lacks X25519": {
    agreementKey: () => Promise.reject(new DOMException("no such algorithm", "NotSupportedError")),
  },
  "gives an all-zero secret": {
    agreementKey: async (secret) => {
      const key = await webSuite.agreementKey(secret);
      const zero = (peer: Uint8Array) => peer.every((byte) => byte === 0);
      return {
        publicKey: key.publicKey,
        agree: async (peer) => (zero(peer) ? new Uint8Array(32) : key.agree(peer)),
      };
    },
  },
  "accepts any signature": { verify: async () => true },
  "refuses any signature": { verify: async () => false },
  "verifies with the cofactor": {
    verify: async (key, message, signature) => {
      const { ed25519 } = await import("@noble/curves/ed25519.js");
      return ed25519.verify(signature, message, key, { zip215: false });
    },
  },
  "hashes wrongly": { sha256: async () => new Uint8Array(32) },
  "has another HMAC": { hmacSha256: async () => new Uint8Array(32) },
  "has another HKDF": { hkdfSha256: async (_ikm, _salt, _info, length) => new Uint8Array(length) },
  "seals nothing": {
    aeadKey: async () => ({ seal: async (_n, _a, text) => Uint8Array.from(text), open: async () => new Uint8Array(0) }),
  },
};

for (const [what, lack] of Object.entries(shortcomings))
  test(`a runtime that ${what} is passed over; without another there is no suite`, async () => {
    const lacking: CryptoSuite = { ...webSuite, ...lack };
    expect(await chooseSuite([lacking, nobleSuite])).toBe(nobleSuite);
    await expectFault(chooseSuite([lacking]), "internal");
  });
