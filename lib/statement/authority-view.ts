import { equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { checkInDate, isExtension, type VerifiedIdentity, verifyIdentity } from "#lib/identity";

/** What became of a chain that was offered. */
export type AuthorityOffer = "known" | "extended";

/** The authority as one node knows it: the longest chain it verified (PROTOCOL §3). */
export interface AuthorityView {
  /** Verify statements against this, taken anew each time. */
  readonly identity: VerifiedIdentity;
  /**
   * Takes the chain a peer showed when it extends the one held (`extended`: store `identity.chain`); the same or an older
   * part of it is `known`. Faults: those of `verifyIdentity`; `identity_unexpected` for another authority,
   * `identity_invalid` for a fork.
   */
  offer(chain: Uint8Array, now: number): Promise<AuthorityOffer>;
}

/** A view that begins with `identity`: what the enrollment brought, or the store holds. */
export function createAuthorityView(suite: CryptoSuite, identity: VerifiedIdentity): AuthorityView {
  let held = identity;
  return {
    get identity() {
      return held;
    },
    async offer(chain, now) {
      if (equalBytes(chain, held.chain)) return "known"; // what nearly every peer shows
      const offered = await verifyIdentity(suite, chain, { now: "any time", expected: held.identifier });
      // From here on nothing waits, so that two offers can't undo one another.
      if (isExtension(held, offered)) return "known"; // an older part of it may be out of date: it is not used
      if (!isExtension(offered, held)) throw new Fault("identity_invalid", "a fork of the authority's chain");
      checkInDate(offered.last, now);
      held = offered;
      return "extended";
    },
  };
}
