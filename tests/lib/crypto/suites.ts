import { type CryptoSuite, nobleSuite, webSuite } from "#lib/crypto";

/** Every test of this folder runs on both. */
export const suites: readonly (readonly [string, CryptoSuite])[] = [
  ["web", webSuite],
  ["noble", nobleSuite],
];
