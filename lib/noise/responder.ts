import { type Bytes, concat } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import {
  type HandshakeOptions,
  type HandshakeResult,
  type HandshakeState,
  initialize,
  readStep,
  writeStep,
} from "./step.ts";
import { keyBytes, message2Overhead, message3Overhead, sealedKeyBytes } from "./xx.ts";

/** Before message 1. */
export interface ResponderStarts {
  /** Message 1: 32 bytes ‖ payload, which anyone may have written. Fault `handshake` on a wrong length. */
  read(message: Uint8Array): Promise<{ payload: Bytes; next: ResponderWrites }>;
}

/** Before message 2. */
export interface ResponderWrites {
  /**
   * Message 2: 96 bytes and the payload. Whoever sent message 1 can read this payload: it is not known yet who that
   * is. Fault `handshake` when the key in message 1 has low order.
   */
  write(payload: Uint8Array): Promise<{ message: Bytes; next: ResponderReads }>;
}

/** Before message 3. */
export interface ResponderReads {
  /** Message 3: 64 bytes and the payload, by whoever holds `remoteStatic` (32 bytes). Fault `handshake`. */
  read(message: Uint8Array): Promise<{ payload: Bytes; remoteStatic: Bytes; done: HandshakeResult }>;
}

/** The side of the XX handshake that answers (Noise §7.5). Each step is used once; a second use is a TypeError. */
export function startResponder(suite: CryptoSuite, options: HandshakeOptions): ResponderStarts {
  return {
    read: readStep(keyBytes, async (message) => {
      const state = await initialize(suite, options);
      // -> e
      const remoteEphemeral = message.slice(0, keyBytes);
      await state.symmetric.mixHash(remoteEphemeral);
      const payload = await state.symmetric.decryptAndHash(message.slice(keyBytes));
      return { payload, next: writes(state, remoteEphemeral) };
    }),
  };
}

function writes(state: HandshakeState, remoteEphemeral: Bytes): ResponderWrites {
  return {
    write: writeStep(message2Overhead, async (payload) => {
      const { symmetric, ephemeralKey, staticKey } = state;
      // <- e, ee, s, es
      await symmetric.mixHash(ephemeralKey.publicKey);
      await symmetric.mixKey(await ephemeralKey.agree(remoteEphemeral));
      const sealedStatic = await symmetric.encryptAndHash(staticKey.publicKey);
      await symmetric.mixKey(await staticKey.agree(remoteEphemeral));
      const message = concat(ephemeralKey.publicKey, sealedStatic, await symmetric.encryptAndHash(payload));
      return { message, next: reads(state) };
    }),
  };
}

function reads(state: HandshakeState): ResponderReads {
  return {
    read: readStep(message3Overhead, async (message) => {
      const { symmetric, ephemeralKey } = state;
      // -> s, se
      const remoteStatic = await symmetric.decryptAndHash(message.subarray(0, sealedKeyBytes));
      await symmetric.mixKey(await ephemeralKey.agree(remoteStatic));
      const payload = await symmetric.decryptAndHash(message.subarray(sealedKeyBytes));
      const [receiveKey, sendKey] = await symmetric.split();
      const done = { handshakeHash: symmetric.handshakeHash(), remoteStatic, sendKey, receiveKey };
      return { payload, remoteStatic, done };
    }),
  };
}
