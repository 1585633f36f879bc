import type { Bytes } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import type { VerifiedIdentity } from "#lib/identity";
import { revokedIdentifiers, verifyRevocation } from "#lib/statement";

/** A list as it is pushed to agents. */
export interface PublishedList {
  readonly number: number;
  /** Compact JWS. */
  readonly statement: string;
  /** Chain of the authority that signed it. */
  readonly authority: Bytes;
}

/** The newest revocation list that was verified; never goes back (PROTOCOL §3). */
export class RevocationList {
  readonly #suite: CryptoSuite;
  readonly #clock: Clock;
  readonly #changed: (list: PublishedList, revoked: ReadonlySet<string>) => void;
  #list: PublishedList | undefined;
  #revoked: ReadonlySet<string> = new Set();

  /** `changed` is told each newer list, with the identifiers on it. */
  constructor(suite: CryptoSuite, clock: Clock, changed: (list: PublishedList, revoked: ReadonlySet<string>) => void) {
    this.#suite = suite;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Number of the list held; 0 = none yet. */
  get number(): number {
    return this.#list?.number ?? 0;
  }

  /** The list as it is pushed; undefined = none yet. */
  get published(): PublishedList | undefined {
    return this.#list;
  }

  /** Whether `identifier` is on the list. */
  has(identifier: string): boolean {
    return this.#revoked.has(identifier);
  }

  /** Takes a list when it is newer than the one held. Faults as `verifyRevocation`. */
  async take(statement: string, authority: VerifiedIdentity): Promise<void> {
    const claims = await verifyRevocation(this.#suite, statement, { authority, now: this.#clock.now() });
    if (claims.number <= this.number) return;
    this.#list = { number: claims.number, statement, authority: authority.chain };
    this.#revoked = revokedIdentifiers(claims);
    this.#changed(this.#list, this.#revoked);
  }
}
