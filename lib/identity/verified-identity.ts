import type { Bytes } from "#lib/bytes";
import type { IdentityChange } from "./change.ts";

/** An identity whose chain was verified. Made by `verifyIdentity` and by what creates identities, by nothing else. */
export interface VerifiedIdentity {
  /** `I` and 64 lower-case hex digits: SHA-256 of the first change. Never changes. */
  readonly identifier: string;
  /** The encoded chain this was read from, at most 64 KiB. */
  readonly chain: Bytes;
  /** 1 … 64, the oldest first. */
  readonly changes: readonly IdentityChange[];
  /** The newest: the only one whose keys count. */
  readonly last: IdentityChange;
}

/**
 * Whether `longer` has all changes of `shorter`, in their order, before its own: what a registry that holds `shorter`
 * may take in its place. True for the same chain; false for a fork, an older chain, another identity.
 */
export function isExtension(longer: VerifiedIdentity, shorter: VerifiedIdentity): boolean {
  return shorter.changes.every(({ hash }, index) => longer.changes[index]?.hash === hash);
}
