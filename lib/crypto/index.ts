/** X25519, Ed25519, AES-256-GCM, SHA-256, HMAC and HKDF: on Web Crypto, and the same on noble. Layer 1. */
export { chooseSuite } from "./choose-suite.ts";
export { nobleSuite } from "./noble-suite.ts";
export type { AeadKey, AgreementKey, CryptoSuite, SigningKey } from "./suite.ts";
export { webSuite } from "./web-suite.ts";
