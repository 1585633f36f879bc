import { type Bytes, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { type HandshakeResult, startInitiator, startResponder } from "#lib/noise";

/** Secrets of the four keys and what else a run needs, so that it can be repeated byte for byte. */
export interface HandshakeSecrets {
  readonly prologue?: Uint8Array;
  readonly initiatorStatic?: Uint8Array;
  readonly initiatorEphemeral?: Uint8Array;
  readonly responderStatic?: Uint8Array;
  readonly responderEphemeral?: Uint8Array;
}

const secret = (byte: number) => new Uint8Array(32).fill(byte);

/** The two sides of a handshake, not begun; secrets that are not given are fixed ones. */
export async function bothSides(suite: CryptoSuite, secrets: HandshakeSecrets = {}) {
  const prologue = secrets.prologue ?? utf8("prologue");
  const initiator = startInitiator(suite, {
    prologue,
    staticKey: await suite.agreementKey(secrets.initiatorStatic ?? secret(1)),
    ephemeralKey: await suite.agreementKey(secrets.initiatorEphemeral ?? secret(2)),
  });
  const responder = startResponder(suite, {
    prologue,
    staticKey: await suite.agreementKey(secrets.responderStatic ?? secret(3)),
    ephemeralKey: await suite.agreementKey(secrets.responderEphemeral ?? secret(4)),
  });
  return { initiator, responder };
}

/** What a wire in between does to message 1, 2 or 3. */
export type Wire = (message: Bytes, number: 1 | 2 | 3) => Uint8Array;

/** Three messages from side to side with the payloads given; rejects as the side does that meets an error. */
export async function runHandshake(
  suite: CryptoSuite,
  payloads: readonly [Uint8Array, Uint8Array, Uint8Array],
  options: { secrets?: HandshakeSecrets; wire?: Wire } = {},
): Promise<{ initiator: HandshakeResult; responder: HandshakeResult; messages: Bytes[]; received: Bytes[] }> {
  const wire = options.wire ?? ((message: Bytes) => message);
  const { initiator, responder } = await bothSides(suite, options.secrets);
  const one = await initiator.write(payloads[0]);
  const oneRead = await responder.read(wire(one.message, 1));
  const two = await oneRead.next.write(payloads[1]);
  const twoRead = await one.next.read(wire(two.message, 2));
  const three = await twoRead.next.write(payloads[2]);
  const threeRead = await two.next.read(wire(three.message, 3));
  return {
    initiator: three.done,
    responder: threeRead.done,
    messages: [one.message, two.message, three.message],
    received: [oneRead.payload, twoRead.payload, threeRead.payload],
  };
}
