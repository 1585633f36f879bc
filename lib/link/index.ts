/** A link: wire, channel and mux joined; authenticated streams to one peer. Layer 4. */

export type { ChannelTerms, Refusal, VerifiedPeer } from "#lib/channel";
export { subprotocol } from "#lib/channel";
export { type MuxStream, ParkedStreams, type RoundTrips } from "#lib/mux";
export type { Link, LinkOptions, LinkResume, PeerRenewal } from "./link.ts";
export { type MessageStream, type MessageTaker, messageStream } from "./message-stream.ts";
export { acceptLink, openLink, refuseWire } from "./open-link.ts";
export { relayHeaderBytes, writeRelayHeader } from "./relay-outbox.ts";
export { webStreams } from "./web-streams.ts";
