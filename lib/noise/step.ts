import type { Bytes } from "#lib/bytes";
import type { AgreementKey, CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { noiseMessageBytesMax } from "#lib/limits";
import { SymmetricState } from "./symmetric-state.ts";
import { noiseProtocolName } from "./xx.ts";

/** What each side brings to a handshake. */
export interface HandshakeOptions {
  /** Bytes that both sides must have alike, of any length; mixed in, never sent (Noise §6). */
  readonly prologue: Uint8Array;
  /** This side's lasting X25519 key. */
  readonly staticKey: AgreementKey;
  /** An X25519 key made for this one handshake from 32 random bytes, and never used again. */
  readonly ephemeralKey: AgreementKey;
}

/** What both sides have after message 3. */
export interface HandshakeResult {
  /** 32 bytes, the same on both sides and in no other handshake (Noise §11.2). */
  readonly handshakeHash: Bytes;
  /** 32 bytes: the X25519 key that the peer has proved to hold. Whose it is, is for the payloads to say. */
  readonly remoteStatic: Bytes;
  /** 32 bytes: for what this side sends, counters from 0 (Noise §5.2 Split). */
  readonly sendKey: Bytes;
  /** 32 bytes: for what the peer sends, counters from 0. */
  readonly receiveKey: Bytes;
}

/** What the steps of one side hand on to each other. */
export interface HandshakeState extends HandshakeOptions {
  readonly symmetric: SymmetricState;
}

/** Initialize (Noise §5.3): h = the protocol's name, then the prologue; XX has no pre-messages. */
export async function initialize(suite: CryptoSuite, options: HandshakeOptions): Promise<HandshakeState> {
  const symmetric = new SymmetricState(suite, noiseProtocolName);
  await symmetric.mixHash(options.prologue);
  return { ...options, symmetric };
}

/**
 * A step that writes: runs once, a second call is a TypeError. The payload is copied first, and refused with a
 * RangeError when its message would pass 65,535 bytes. Fault `handshake` when the peer's key has low order.
 */
export function writeStep<T>(
  overheadBytes: number,
  work: (payload: Bytes) => Promise<T>,
): (p: Uint8Array) => Promise<T> {
  const run = once(work);
  return async (payload) => {
    if (overheadBytes + payload.length > noiseMessageBytesMax)
      throw new RangeError(`a payload of this message is at most ${noiseMessageBytesMax - overheadBytes} bytes`);
    return run(Uint8Array.from(payload));
  };
}

/**
 * A step that reads: runs once, a second call is a TypeError, also after a Fault (a handshake that failed is over).
 * Fault `handshake` when the message is shorter than `overheadBytes`, longer than 65,535 bytes, or does not open.
 */
export function readStep<T>(
  overheadBytes: number,
  work: (message: Bytes) => Promise<T>,
): (m: Uint8Array) => Promise<T> {
  const run = once(async (message: Bytes) => {
    if (message.length < overheadBytes) throw new Fault("handshake", "the handshake message is too short");
    return work(message);
  });
  return async (message) => {
    // Before the copy, and so before a step is spent on it as well.
    if (message.length > noiseMessageBytesMax) throw new Fault("handshake", "the handshake message is too long");
    return run(Uint8Array.from(message));
  };
}

function once<T>(work: (bytes: Bytes) => Promise<T>): (bytes: Bytes) => Promise<T> {
  let used = false;
  return async (bytes) => {
    if (used) throw new TypeError("a step of a handshake is used once");
    used = true;
    try {
      return await work(bytes);
    } catch (error) {
      // What fails on the way is the peer's doing (a tag, a key of low order); a bug stays what it is.
      if (error instanceof Fault && error.code === "crypto")
        throw new Fault("handshake", `the handshake failed: ${error.message}`, { cause: error });
      throw error;
    }
  };
}
