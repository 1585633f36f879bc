import { type Bytes, encodeCbor } from "#lib/bytes";

/** What both ends of a channel know before they meet, and must know alike: the fields of the prologue (PROTOCOL §6). */
export interface ChannelTerms {
  /** `session`: Mercury to Nexus. `e2e`: node to node, relayed. */
  readonly purpose: "session" | "e2e";
  /** WebSocket subprotocols the initiator offered, in its order; of an e2e channel those of the relay's request. */
  readonly offered: readonly string[];
  /** The one that was chosen: `subprotocol`. */
  readonly chosen: string;
  /** Identifier of the initiator: at Nexus the header's `sub`. */
  readonly initiator: string;
  /** Session: the `aud` origin of the header; e2e: the identifier of the node asked for. */
  readonly responder: string;
  /** Session: 32 bytes, SHA-256 of the authorization token; e2e: 16 random bytes drawn by the initiator. */
  readonly binding: Bytes;
}

/** The subprotocol of this version (PROTOCOL, head). */
export const subprotocol = "mercury.1";

const bindingBytes = { session: 32, e2e: 16 } as const;

/** Deterministic CBOR [`mercury`, offered, chosen, purpose, initiator, responder, binding]. RangeError on a binding of another length. */
export function encodePrologue(terms: ChannelTerms): Bytes {
  const { offered, chosen, purpose, initiator, responder, binding } = terms;
  if (binding.length !== bindingBytes[purpose]) throw new RangeError("a binding of the wrong length");
  return encodeCbor(["mercury", [...offered], chosen, purpose, initiator, responder, binding]);
}
