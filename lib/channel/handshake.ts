import { type Bytes, concat } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import type { NodeKeys } from "#lib/identity";
import { noiseMessageBytesMax } from "#lib/limits";
import {
  type HandshakeResult,
  type HandshakeOptions as NoiseOptions,
  startInitiator,
  startResponder,
} from "#lib/noise";
import type { AuthorityView } from "#lib/statement";
import { messageKind } from "./kind.ts";
import { type PeerDemands, type VerifiedPeer, verifyPeer } from "./peer.ts";
import { decodePresentation, encodePresentation } from "./presentation.ts";
import { type ChannelTerms, encodePrologue } from "./terms.ts";

/** What one side brings to the opening of a channel. */
export interface ChannelOptions {
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  /** What both sides know: a difference in any field ends the handshake. */
  readonly terms: ChannelTerms;
  readonly keys: NodeKeys;
  /** Own credential, compact JWS. */
  readonly credential: string;
  /** The authority as this node knows it; grows by what the peer shows (`VerifiedPeer.authorityExtended`). */
  readonly authority: AuthorityView;
  /**
   * A session at Nexus: Solaris has judged this opening a moment ago (PROTOCOL §5), so that the peer's credential may have run out,
   * as that of an agent that was away for longer has. It is to be renewed within this, ms, else the channel ends. Default: it
   * must be in date.
   */
  readonly renewWithinMs?: number;
  /** An e2e responder must say whether one of its portals names the initiator. */
  readonly accepts?: (identifier: string) => boolean;
  /**
   * After the built-in checks: throws `revoked`, or waits until the revocation list is held that the peer's credential
   * names (PROTOCOL §3). The handshake's deadline runs meanwhile.
   */
  readonly freshness?: (peer: VerifiedPeer) => Promise<void> | void;
  /** Last: throws the Fault with which the peer is refused. */
  readonly policy?: (peer: VerifiedPeer) => Promise<void> | void;
}

/** What a finished handshake leaves. */
export interface Established {
  readonly peer: VerifiedPeer;
  readonly keys: HandshakeResult;
}

/** What a message of the peer leads to. */
export type HandshakeStep =
  /** Send this and wait for the next. */
  | { readonly status: "going"; readonly send: Bytes }
  /** The channel is up; an initiator sends this first. */
  | { readonly status: "established"; readonly send?: Bytes; readonly established: Established }
  /** The peer is who it says and is refused: tell it why under these keys, then close. */
  | { readonly status: "refused"; readonly fault: Fault; readonly keys: HandshakeResult };

/** One side of a handshake: messages of kind 0x01 in and out. Each message is taken once, one after the other. */
export interface Handshake {
  /** Throws a Fault when the message or what it shows does not hold; nothing is sent then, and the wire closes. */
  take(message: Bytes): Promise<HandshakeStep>;
}

/** Begins as initiator: the first message, and what takes the answer. */
export async function initiateChannel(options: ChannelOptions): Promise<{ send: Bytes; handshake: Handshake }> {
  const noise = startInitiator(options.suite, await noiseOptions(options));
  const { message, next } = await noise.write(new Uint8Array(0));
  const take = once(async (answer) => {
    const { payload, remoteStatic, next: last } = await next.read(noiseMessage(answer));
    // Before message 3: a stranger never learns who this node is.
    const peer = await judge(payload, remoteStatic, true, options);
    const { message: third, done } = await last.write(ownPresentation(options));
    return { status: "established", send: handshakeMessage(third), established: { peer, keys: done } };
  });
  return { send: handshakeMessage(message), handshake: { take } };
}

/** Begins as responder: takes messages 1 and 3. */
export function respondToChannel(options: ChannelOptions): Handshake {
  let second: ((message: Bytes) => Promise<HandshakeStep>) | undefined;
  const first = once(async (message) => {
    const noise = startResponder(options.suite, await noiseOptions(options));
    const { payload, next } = await noise.read(noiseMessage(message));
    if (payload.length > 0) throw new Fault("handshake", "message 1 carries no payload");
    const { message: answer, next: last } = await next.write(ownPresentation(options));
    second = once(async (third) => {
      const { payload: shown, remoteStatic, done } = await last.read(noiseMessage(third));
      try {
        const peer = await judge(shown, remoteStatic, false, options);
        return { status: "established", established: { peer, keys: done } };
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return { status: "refused", fault: error, keys: done };
      }
    });
    return { status: "going", send: handshakeMessage(answer) };
  });
  return { take: (message) => (second ?? first)(message) };
}

async function judge(
  payload: Uint8Array,
  remoteStatic: Bytes,
  initiator: boolean,
  options: ChannelOptions,
): Promise<VerifiedPeer> {
  const { suite, authority, terms, accepts, clock } = options;
  const mayHaveExpired = options.renewWithinMs !== undefined;
  const demands: PeerDemands = { suite, authority, terms, initiator, accepts, now: clock.now(), mayHaveExpired };
  const peer = await verifyPeer(decodePresentation(payload), { remoteStatic }, demands);
  await options.freshness?.(peer);
  await options.policy?.(peer);
  return peer;
}

async function noiseOptions({ suite, random, terms, keys }: ChannelOptions): Promise<NoiseOptions> {
  const secret = random(32);
  const ephemeralKey = await suite.agreementKey(secret);
  secret.fill(0);
  return { prologue: encodePrologue(terms), staticKey: keys.agreementKey, ephemeralKey };
}

function ownPresentation({ keys, credential, authority }: ChannelOptions): Bytes {
  return encodePresentation({ chain: keys.identity.chain, credential, authority: authority.identity.chain });
}

function handshakeMessage(message: Bytes): Bytes {
  return concat(new Uint8Array([messageKind.handshake]), message);
}

function noiseMessage(message: Bytes): Bytes {
  if (message[0] !== messageKind.handshake) throw new Fault("handshake", "another message where the handshake goes on");
  if (message.length > noiseMessageBytesMax + 1) throw new Fault("handshake", "a handshake message is too long");
  return message.subarray(1);
}

/** A step taken twice is the peer's doing here: it sent a message too many. */
function once(step: (message: Bytes) => Promise<HandshakeStep>): (message: Bytes) => Promise<HandshakeStep> {
  let used = false;
  return async (message) => {
    if (used) throw new Fault("handshake", "a handshake message too many");
    used = true;
    try {
      return await step(message);
    } catch (error) {
      throw error instanceof TypeError || error instanceof RangeError ? error : asFault(error, "handshake");
    }
  };
}
