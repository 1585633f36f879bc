/** A Noise secure channel between two identities: handshake with its checks, and records in order. Layer 2: pure. */
export {
  type ChannelOptions,
  type Established,
  type Handshake,
  type HandshakeStep,
  initiateChannel,
  respondToChannel,
} from "./handshake.ts";
export { messageKind } from "./kind.ts";
export { type ChannelProof, type PeerDemands, type VerifiedPeer, verifyPeer } from "./peer.ts";
export { decodePresentation, encodePresentation, type Presentation } from "./presentation.ts";
export { decodeRecord, encodeRecord, recordBytesMax } from "./record.ts";
export { RecordOpener, type RecordOpenerEvents } from "./record-opener.ts";
export { RecordSealer, type RecordSealerEvents } from "./record-sealer.ts";
export { decodeRefusal, encodeRefusal, type Refusal } from "./refusal.ts";
export { type ChannelTerms, encodePrologue, subprotocol } from "./terms.ts";
