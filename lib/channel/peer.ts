import { equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { isExtension, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { type AuthorityView, type Credential, verifyCredential } from "#lib/statement";
import type { Presentation } from "./presentation.ts";
import type { ChannelTerms } from "./terms.ts";

/** A peer whose chain, key, credential, identifier and role were checked. */
export interface VerifiedPeer {
  readonly identity: VerifiedIdentity;
  readonly credential: Credential;
  /** Whether its authority chain was longer than ours, which is the longer one now: store it. */
  readonly authorityExtended: boolean;
}

/** What a peer is checked against. */
export interface PeerDemands {
  readonly suite: CryptoSuite;
  /** The authority as this node knows it; extended by what the peer shows. */
  readonly authority: AuthorityView;
  readonly terms: ChannelTerms;
  readonly initiator: boolean;
  /** At an e2e responder, and needed there: whether one of its portals names this identifier. */
  readonly accepts?: ((identifier: string) => boolean) | undefined;
  /** ms since 1970. */
  readonly now: number;
  /** Whether a credential that has run out will do, until it is renewed. */
  readonly mayHaveExpired?: boolean;
}

/** What ties a chain to the channel: the 32-byte key of its handshake, or the identity that this key was found to be of. */
export type ChannelProof = { readonly remoteStatic: Uint8Array } | { readonly proved: VerifiedIdentity };

/**
 * The built-in checks of PROTOCOL §6, in its order: chain; its last X25519 key is the Noise static (or, for what is
 * shown later inside the channel, it extends the chain of which that was true); credential; the expected identifier;
 * role. Faults: those of `verifyIdentity`, `AuthorityView.offer` and `verifyCredential`; `handshake` for another static
 * key; `identity_invalid` for a chain that is no extension; `identity_unexpected`; `forbidden` for a role at the wrong end.
 */
export async function verifyPeer(
  shown: Presentation,
  proof: ChannelProof,
  demands: PeerDemands,
): Promise<VerifiedPeer> {
  const { suite, authority, now } = demands;
  const identity = await verifyIdentity(suite, shown.chain, { now });
  checkProof(identity, proof);
  const offer = await authority.offer(shown.authority, now);
  const credential = await verifyCredential(suite, shown.credential, {
    authority: authority.identity,
    subject: identity,
    now,
    mayHaveExpired: demands.mayHaveExpired ?? false,
  });
  checkExpected(identity.identifier, demands);
  checkRole(credential, demands);
  return { identity, credential, authorityExtended: offer === "extended" };
}

function checkProof(identity: VerifiedIdentity, proof: ChannelProof): void {
  if ("proved" in proof) {
    if (!isExtension(identity, proof.proved))
      throw new Fault("identity_invalid", "the chain does not extend the one of the handshake");
  } else if (!equalBytes(identity.last.x25519, proof.remoteStatic)) {
    throw new Fault("handshake", "the key of the handshake is not the last of the identity shown");
  }
}

/** The identifier is the one the prologue names; an initiator of a session takes any Nexus (its role is checked). */
function checkExpected(identifier: string, { terms, initiator, accepts }: PeerDemands): void {
  const { purpose } = terms;
  if (purpose === "session" && initiator) return;
  const expected = initiator ? terms.responder : terms.initiator;
  if (identifier !== expected) throw new Fault("identity_unexpected", undefined, { detail: { expected, identifier } });
  if (purpose === "session" || initiator) return;
  if (accepts === undefined) throw new TypeError("an e2e responder must say whom it accepts");
  if (!accepts(identifier))
    throw new Fault("identity_unexpected", "no portal names this node", { detail: { identifier } });
}

/** `nexus` at the far end of a session, and nowhere else. */
function checkRole({ attrs }: Credential, { terms, initiator }: PeerDemands): void {
  const nexusWanted = terms.purpose === "session" && initiator;
  if ((attrs.role === "nexus") !== nexusWanted)
    throw new Fault("forbidden", "a role at the wrong end of a channel", { detail: { role: String(attrs.role) } });
}
