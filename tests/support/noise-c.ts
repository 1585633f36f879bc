import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** What the tests use of noise-c.wasm (rweather/noise-c compiled to WebAssembly), which comes without types. */
interface NoiseC {
  readonly constants: Readonly<Record<"NOISE_ROLE_INITIATOR" | "NOISE_ROLE_RESPONDER", number>>;
  HandshakeState: new (protocolName: string, role: number) => NoiseCHandshake;
  readonly _lib_internal: {
    allocateBytes(size: number, value?: Uint8Array): { free(): void };
    _noise_handshakestate_get_fixed_ephemeral_dh(state: unknown): unknown;
    _noise_dhstate_set_keypair_private(dh: unknown, key: unknown, length: number): number;
  };
}

interface NoiseCCipher {
  EncryptWithAd(additionalData: Uint8Array, plaintext: Uint8Array): Uint8Array;
  DecryptWithAd(additionalData: Uint8Array, ciphertext: Uint8Array): Uint8Array;
  free(): void;
}

interface NoiseCHandshake {
  readonly _state: unknown;
  Initialize(prologue: Uint8Array, staticSecret: Uint8Array): void;
  WriteMessage(payload: Uint8Array): Uint8Array;
  ReadMessage(message: Uint8Array, payloadNeeded: true): Uint8Array;
  GetHandshakeHash(): Uint8Array;
  GetRemotePublicKey(): Uint8Array;
  /** [send, receive] of this side. */
  Split(): [NoiseCCipher, NoiseCCipher];
}

/** Loads the independent engine. */
export function loadNoiseC(): Promise<NoiseC> {
  // A CommonJS module without types: what it hands out is the interface above, as its own documentation has it.
  const require = createRequire(import.meta.url);
  const create = require("noise-c.wasm") as (options: object, ready: (noise: NoiseC) => void) => void;
  const wasmBinary = readFileSync(require.resolve("noise-c.wasm/src/noise-c.wasm"));
  return new Promise((resolve) => create({ wasmBinary }, resolve));
}

/** One side of the XX handshake in the independent engine; a fixed ephemeral secret makes it repeatable. */
export function noiseCSide(
  noise: NoiseC,
  role: "initiator" | "responder",
  options: { prologue: Uint8Array; staticSecret: Uint8Array; ephemeralSecret?: Uint8Array },
): NoiseCHandshake {
  const { NOISE_ROLE_INITIATOR, NOISE_ROLE_RESPONDER } = noise.constants;
  const number = role === "initiator" ? NOISE_ROLE_INITIATOR : NOISE_ROLE_RESPONDER;
  const side = new noise.HandshakeState("Noise_XX_25519_AESGCM_SHA256", number);
  if (options.ephemeralSecret !== undefined) {
    const { _lib_internal: lib } = noise;
    const dh = lib._noise_handshakestate_get_fixed_ephemeral_dh(side._state);
    const secret = lib.allocateBytes(0, options.ephemeralSecret);
    if (lib._noise_dhstate_set_keypair_private(dh, secret, 32) !== 0) throw new Error("noise-c refused the ephemeral");
    secret.free();
  }
  side.Initialize(options.prologue, options.staticSecret);
  return side;
}
