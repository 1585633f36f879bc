/** Noise_XX_25519_AESGCM_SHA256 (Noise revision 34) on a `CryptoSuite`. Layer 1: bytes in, bytes out. */
export { CipherState, noiseNonce, rekey } from "./cipher-state.ts";
export { type InitiatorReads, type InitiatorStarts, type InitiatorWrites, startInitiator } from "./initiator.ts";
export { type ResponderReads, type ResponderStarts, type ResponderWrites, startResponder } from "./responder.ts";
export type { HandshakeOptions, HandshakeResult } from "./step.ts";
export { handshakePayloadBytesMax, noiseProtocolName } from "./xx.ts";
