import { noiseMessageBytesMax } from "#lib/limits";

/** 28 bytes, so h and ck start as the name and four zeros (Noise §5.2, §8). */
export const noiseProtocolName = "Noise_XX_25519_AESGCM_SHA256";

/** DHLEN: an X25519 public key. */
export const keyBytes = 32;
/** A 32-byte static key, encrypted with its 16-byte tag. */
export const sealedKeyBytes = 48;
const tagBytes = 16;

/** `<- e, ee, s, es` ‖ payload ‖ tag. */
export const message2Overhead = keyBytes + sealedKeyBytes + tagBytes;
/** `-> s, se` ‖ payload ‖ tag. */
export const message3Overhead = sealedKeyBytes + tagBytes;

/** The largest payload that fits each message of the handshake (Noise §3: 65,535 bytes in all): 65,439. */
export const handshakePayloadBytesMax = noiseMessageBytesMax - message2Overhead;
