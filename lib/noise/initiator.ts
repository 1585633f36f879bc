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
export interface InitiatorStarts {
  /** Message 1: 32 bytes ‖ payload. Anyone can read and change this payload. */
  write(payload: Uint8Array): Promise<{ message: Bytes; next: InitiatorReads }>;
}

/** Before message 2. */
export interface InitiatorReads {
  /**
   * Message 2: 96 bytes and the payload. The payload is secret, and by whoever holds `remoteStatic` (32 bytes), which
   * the responder has now proved. Fault `handshake` when anything about it is wrong.
   */
  read(message: Uint8Array): Promise<{ payload: Bytes; remoteStatic: Bytes; next: InitiatorWrites }>;
}

/** Before message 3. */
export interface InitiatorWrites {
  /** Message 3: 64 bytes and the payload, secret to the responder. */
  write(payload: Uint8Array): Promise<{ message: Bytes; done: HandshakeResult }>;
}

/** The side of the XX handshake that speaks first (Noise §7.5). Each step is used once; a second use is a TypeError. */
export function startInitiator(suite: CryptoSuite, options: HandshakeOptions): InitiatorStarts {
  return {
    write: writeStep(keyBytes, async (payload) => {
      const state = await initialize(suite, options);
      // -> e
      await state.symmetric.mixHash(state.ephemeralKey.publicKey);
      const message = concat(state.ephemeralKey.publicKey, await state.symmetric.encryptAndHash(payload));
      return { message, next: reads(state) };
    }),
  };
}

function reads(state: HandshakeState): InitiatorReads {
  return {
    read: readStep(message2Overhead, async (message) => {
      const { symmetric } = state;
      // <- e, ee, s, es
      const remoteEphemeral = message.slice(0, keyBytes);
      await symmetric.mixHash(remoteEphemeral);
      await symmetric.mixKey(await state.ephemeralKey.agree(remoteEphemeral));
      const sealedStatic = message.subarray(keyBytes, keyBytes + sealedKeyBytes);
      const remoteStatic = await symmetric.decryptAndHash(sealedStatic);
      await symmetric.mixKey(await state.ephemeralKey.agree(remoteStatic));
      const payload = await symmetric.decryptAndHash(message.subarray(keyBytes + sealedKeyBytes));
      return { payload, remoteStatic, next: writes(state, remoteEphemeral, remoteStatic) };
    }),
  };
}

function writes(state: HandshakeState, remoteEphemeral: Bytes, remoteStatic: Bytes): InitiatorWrites {
  return {
    write: writeStep(message3Overhead, async (payload) => {
      const { symmetric } = state;
      // -> s, se
      const sealedStatic = await symmetric.encryptAndHash(state.staticKey.publicKey);
      await symmetric.mixKey(await state.staticKey.agree(remoteEphemeral));
      const message = concat(sealedStatic, await symmetric.encryptAndHash(payload));
      const [sendKey, receiveKey] = await symmetric.split();
      return { message, done: { handshakeHash: symmetric.handshakeHash(), remoteStatic, sendKey, receiveKey } };
    }),
  };
}
