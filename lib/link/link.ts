import type { Bytes } from "#lib/bytes";
import type { ChannelOptions, Refusal, VerifiedPeer } from "#lib/channel";
import type { Fault, FaultCode } from "#lib/fault";
import type { Log } from "#lib/log";
import type { MuxStream, ParkedStreams, RoundTrips } from "#lib/mux";

/** Authenticated streams to one peer: a wire, a channel and a mux (DESIGN §3). Ends once, for one reason. Disposing it is `close("closed")`. */
export interface Link extends AsyncDisposable {
  /** Who is at the other end. Renewed by `renewPeer`. */
  readonly peer: VerifiedPeer;
  /** 32 bytes, the same at both ends and on no other link (Noise §11.2). */
  readonly handshakeHash: Bytes;
  /** Why it ended; resolves once, never rejects. What the peer gave as its reason is the fault's `code`. */
  readonly closed: Promise<Fault>;
  /** Bytes of plaintext in both directions. */
  readonly traffic: { readonly sentBytes: number; readonly receivedBytes: number };
  /** Streams that are open or hold unread bytes. */
  readonly streams: number;
  /**
   * Opens a stream under `name` (16 bytes; random by default). Throws Fault `limited` past `streamsPerLinkMax`,
   * `draining` after a goaway, the link's fault once it has ended.
   */
  open(name?: Bytes): MuxStream;
  /**
   * Says who gets the streams that the peer opens; undefined refuses them (`not_found`). Those that come before the
   * first call wait for it, at most `unclaimedStreamsMax` of them for `unclaimedStreamMs`.
   */
  onStream(handler: ((stream: MuxStream) => void) | undefined): void;
  /** Called when the peer takes no new streams, or when this link nears its age limit (code `draining`). */
  onGoaway(handler: (code: string) => void): void;
  /** Called with messages of kind 0x03 that come beside the channel; without a handler one ends the link. */
  onRelay(handler: (message: Bytes) => void): void;
  /**
   * Sends a message of kind 0x03 beside the channel, behind the channel's own records and no faster than the path takes it; until
   * then it waits here. `lent`: its bytes are used again once this returns. Throws Fault `limited` when its relay id has more waiting
   * than `relayQueueBytesMax` (the pair is to be closed; the link goes on), the link's fault once it has ended.
   */
  sendRelay(message: Bytes, lent?: boolean): void;
  /** Bytes that wait for this relay id. */
  relayQueuedBytes(id: number): number;
  /** Forgets what waits for this relay id. */
  dropRelay(id: number): void;
  /** Bytes queued in the wire. */
  bufferedBytes(): number;
  /** Round trips of the last pings, ms. */
  ping(): RoundTrips;
  /** Asks for a ping now; its result shows in `ping()`. */
  probe(): void;
  /** Tells the peer that no new streams are taken; those that are open go on. */
  goaway(code: FaultCode): void;
  /**
   * Takes a newer credential of the same peer, with its chain if that grew. Rejects with the Fault of the check and
   * changes nothing then; the link goes on until the old credential runs out.
   */
  renewPeer(shown: PeerRenewal): Promise<void>;
  /** Ends at once: what is queued is dropped, and the peer is told `code`. Streams that may go on elsewhere are parked before this returns. */
  end(code: FaultCode): void;
  /** Tells the peer `code` and closes: what was written before is sent first, for at most `closeTimeoutMs`. */
  close(code: FaultCode): Promise<void>;
}

/** What a peer showed inside the link. */
export interface PeerRenewal {
  /** Compact JWS. */
  readonly credential: string;
  /** An extension of the identity chain; absent when it did not change. */
  readonly chain?: Bytes;
  /** The authority's chain; absent when it did not change. */
  readonly authority?: Bytes;
}

export interface LinkOptions extends ChannelOptions {
  readonly log?: Log;
  /** ms for the whole handshake; default `handshakeTimeoutMs`. */
  readonly handshakeTimeoutMs?: number;
  /** Cancels the opening. */
  readonly signal?: AbortSignal;
  /**
   * Initiator: makes the Fault of a refusal that came in place of the handshake. Only a verified `answer` may be
   * believed (PROTOCOL §5). Default: Fault `handshake` with detail `refusal`.
   */
  readonly refused?: (refusal: Refusal) => Promise<Fault> | Fault;
  /** Unread bytes of all streams together; default `linkCreditMax`. */
  readonly creditBytes?: number;
  /** Streams at a time; default `streamsPerLinkMax`. */
  readonly streamsMax?: number;
  /** ms until the link ends to be replaced by another, 10 minutes' notice included; default `channelAgeMaxMs`. */
  readonly ageMaxMs?: number;
  /** Streams go on on another link to the same peer; both ends must say so. Default: they end with this one. */
  readonly resume?: LinkResume;
  /** Records under one key; 65,536 but in tests: both ends must have the same. */
  readonly epochRecords?: number;
}

/** How streams outlive their link (PROTOCOL §9): after a loss, not after a close, a revocation or what the peer did wrong. */
export interface LinkResume {
  /** Where they are between two links to this peer. */
  readonly parked: ParkedStreams;
  /** The channel is up: the link before, if it still lives, is to be ended now, so that its streams are parked. */
  ready(): void;
  /** Which streams may go on, by name. */
  resumable(name: Bytes): boolean;
  /** Asked when the peer says that a stream it opened goes on: the code it is reset with when `peer` may not. */
  refusal(stream: MuxStream, peer: VerifiedPeer): FaultCode | undefined;
}
